"""Receiving halves of SUB, PUB and XPUB: topics tell what counts."""

from collections import deque

from busduct._fallback._collector import Deaf, FairQueue
from busduct._fallback._counters import Counters
from busduct._fallback._marks import message_cost
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._publisher import Publisher
from busduct._fallback._subscriber import Subscriptions

__all__ = ["FilteredQueue", "NoticeQueue", "SubscriptionListener"]


def _is_subscription(message: list[bytes]) -> bool:
    return len(message) == 1 and message[0][:1] in {b"\0", b"\1"}


class FilteredQueue(FairQueue):
    """What was subscribed to: SUB."""

    def __init__(
        self,
        options: SocketOptions,
        counters: Counters,
        subscriptions: Subscriptions,
    ) -> None:
        super().__init__(options, counters)
        self._subscriptions = subscriptions

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Queue a message if it is wanted."""
        if self._subscriptions.match(message[0]):
            self._keep(peer, message)
        return True


class SubscriptionListener(Deaf):
    """Subscriptions, and nothing else: PUB."""

    def __init__(
        self, options: SocketOptions, counters: Counters, publisher: Publisher
    ) -> None:
        super().__init__(options, counters)
        self._publisher = publisher

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Apply a subscription; drop what is none."""
        if _is_subscription(message):
            topic = message[0][1:]
            if message[0][0]:
                self._publisher.subscribe(peer, topic)
            else:
                self._publisher.unsubscribe(peer, topic)
        return True


class _Notices:
    """Subscriptions that are to be received as messages."""

    def __init__(self) -> None:
        self.inbox: deque[list[bytes]] = deque()
        self.cost = 0
        self.is_ready = False

    def push(self, message: list[bytes]) -> None:
        self.inbox.append(message)
        self.cost += message_cost(message)

    def pop(self) -> list[bytes]:
        message = self.inbox.popleft()
        self.cost -= message_cost(message)
        return message


class NoticeQueue(FairQueue):
    """Subscriptions as messages, among the messages of the peers: XPUB.

    While as many notices wait as the marks permit, no more subscriptions are applied,
    and who sends them is not read from.
    """

    def __init__(
        self, options: SocketOptions, counters: Counters, publisher: Publisher
    ) -> None:
        super().__init__(options, counters)
        self._marks = options.marks
        self._publisher = publisher
        self._notices = _Notices()
        self._held: dict[Peer, None] = {}
        publisher.on_left = self._announce_end

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Apply a subscription, if its notice has room; queue what is none."""
        if not _is_subscription(message):
            self._keep(peer, message)
            return True
        notices = self._notices
        if not self._marks.admit(len(notices.inbox), notices.cost, 0):
            self._held[peer] = None
            return False
        topic = message[0][1:]
        if not message[0][0]:
            self._publisher.unsubscribe(peer, topic)
        elif self._publisher.subscribe(peer, topic) or self._options.xpub_verbose:
            self._give_notice(message[0])
        return True

    def _announce_end(self, topic: bytes) -> None:
        self._give_notice(b"\0" + topic)

    def _give_notice(self, notice: bytes) -> None:
        self._notices.push([notice])
        self._line_up(self._notices)

    def take(self) -> list[bytes] | None:
        """Take the next message or notice; read on from who was held."""
        message = super().take()
        notices = self._notices
        if self._held and self._marks.is_low(len(notices.inbox), notices.cost):
            held, self._held = self._held, {}
            for peer in held:
                peer.resume()
        return message

    def lose(self, peer: Peer) -> None:
        """Hold a peer no longer."""
        self._held.pop(peer, None)

    def clear(self) -> None:
        """Forget what there is to take."""
        super().clear()
        self._notices = _Notices()

    def statistics(self) -> tuple[int, int]:
        """Return how many notices wait, and their cost."""
        return len(self._notices.inbox), self._notices.cost
