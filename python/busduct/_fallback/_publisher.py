"""Each message to every peer that subscribed to it: PUB and XPUB."""

from collections.abc import Callable, Iterable

from busduct._fallback._counters import Counters
from busduct._fallback._distributor import SMALL_COST, Distributor
from busduct._fallback._marks import message_cost
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._topics import MAX_TOPIC_NBYTES, TopicTable
from busduct._fallback._waiting import WaitQueue
from busduct.errors import FrameTooLargeError, FullError, RemoteProtocolError

__all__ = ["FanOut", "Publisher"]


class FanOut(Distributor):
    """Each message to all peers of some set, or to none while one has no room."""

    keeps_lost = False

    def _targets(self, message: list[bytes]) -> list[Peer]:
        """Return whom a message goes to."""
        return self.up.copy()

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Queue a message for all that it goes to, or return where to wait."""
        cost = message_cost(message)
        targets = self._targets(message)
        if self._policy in {"wait", "error"}:
            full = self._find_full(targets, cost)
            if full is not None:
                # Whoever was woken for the room of the others may use it.
                self._relieve_all(targets)
                return full.room
        for peer in targets:
            self._give(peer, message, cost)
        self._relieve_all(targets)
        return None

    @staticmethod
    def _find_full(peers: Iterable[Peer], cost: int) -> Peer | None:
        return next((p for p in peers if not p.outbox.admits(cost)), None)

    def _give(self, peer: Peer, message: list[bytes], cost: int) -> None:
        if not peer.outbox.admits(cost):
            # What only waits to be written at the end of the turn is no reason to drop.
            peer.flush()
            if self._policy == "drop_new" and not peer.outbox.admits(cost):
                self._counters.num_dropped += 1
                return
            peer.outbox.make_room(cost)
        # Writing may have shown that the peer is gone.
        if peer.is_listed:
            peer.push(message, cost)

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""
        full = self._find_full(self._targets(message), message_cost(message))
        return (self.backlog if full is None else full.outbox).full_error()

    def blocker(self) -> WaitQueue | None:
        """Return where to wait until a small message is accepted; None for nowhere."""
        full = self._find_full(self._audience(), SMALL_COST)
        if self._policy == "wait" and full is not None:
            return full.room
        # Who asks takes nothing: the next one may have been woken in its place.
        self._relieve_all(self.up)
        return None

    def _audience(self) -> Iterable[Peer]:
        """Return all that a message may go to."""
        return self.up

    def relieve(self, peer: Peer) -> None:
        """Use the room that a peer has made."""
        if peer.room and peer.outbox.is_low():
            peer.room.wake()

    def _relieve_all(self, peers: Iterable[Peer]) -> None:
        for peer in peers:
            self.relieve(peer)


class Publisher(FanOut):
    """Each message to every peer that holds a prefix of its first part.

    Attributes:
        changed: Who waits for subscribers.
        on_left: Told of each topic that its last holder left.
    """

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self._table = TopicTable()
        self.changed = WaitQueue()
        self.on_left: Callable[[bytes], None] = lambda topic: None

    @property
    def num_subscriptions(self) -> int:
        """Topics that peers hold, each counted once for each of them."""
        return self._table.num_subscriptions

    def count(self, topic: bytes) -> int:
        """Return how many peers a message that starts so would go to."""
        return len(self._table.match(topic))

    def _targets(self, message: list[bytes]) -> list[Peer]:
        return self._table.match(message[0])

    def _audience(self) -> Iterable[Peer]:
        return (peer for peer in self.up if peer.topics)

    def subscribe(self, peer: Peer, topic: bytes) -> bool:
        """Let a peer hold a topic; tell whether nobody held it.

        Raises:
            FrameTooLargeError: A topic over 255 bytes.
            RemoteProtocolError: More topics than one peer may hold.
        """
        if len(topic) > MAX_TOPIC_NBYTES:
            raise FrameTooLargeError(len(topic), MAX_TOPIC_NBYTES)
        # Nobody would ever take back what a peer that is gone subscribes to.
        if topic in peer.topics or not peer.is_listed:
            return False
        limit = self._options.max_subscriptions
        if len(peer.topics) >= limit:
            msg = f"more than {limit} subscriptions"
            raise RemoteProtocolError(msg)
        is_first = self._table.add(topic, peer)
        self.changed.wake_all()
        return is_first

    def unsubscribe(self, peer: Peer, topic: bytes) -> None:
        """Take a topic from a peer, if it holds it.

        Raises:
            FrameTooLargeError: A topic over 255 bytes.
        """
        if len(topic) > MAX_TOPIC_NBYTES:
            raise FrameTooLargeError(len(topic), MAX_TOPIC_NBYTES)
        if topic not in peer.topics:
            return
        is_last = self._table.remove(topic, peer)
        # Who waits for room at this peer may have no message for it any more.
        peer.room.wake_all()
        if is_last:
            self.on_left(topic)

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out, and its topics; return what is lost by it."""
        for topic in list(peer.topics):
            self.unsubscribe(peer, topic)
        return super().remove(peer)

    def wake_all(self) -> None:
        """Wake everybody, for the socket is closed."""
        super().wake_all()
        self.changed.wake_all()
