"""Topics that this side subscribes to, and telling the peers: SUB and XSUB."""

from busduct._fallback._counters import Counters
from busduct._fallback._distributor import Distributor, Mute
from busduct._fallback._kinds import KIND_NAMES
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._publisher import FanOut
from busduct._fallback._topics import MAX_TOPIC_NBYTES, PrefixLengths
from busduct._fallback._waiting import WaitQueue
from busduct.errors import ConfigError, LocalProtocolError

__all__ = ["ForwardingSubscriber", "Subscriber", "subscriptions_of"]


class Subscriptions:
    """The topics subscribed to, each as often as it was."""

    def __init__(self, distributor: Distributor) -> None:
        self._distributor = distributor
        self._counts: dict[bytes, int] = {}
        self._lengths = PrefixLengths()

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, topic: bytes) -> bool:
        return topic in self._counts

    def subscribe(self, topic: bytes) -> None:
        """Subscribe once more; tell the peers the first time.

        Raises:
            ConfigError: Over 255 bytes.
        """
        if len(topic) > MAX_TOPIC_NBYTES:
            msg = f"topic of {len(topic)} bytes exceeds limit of {MAX_TOPIC_NBYTES}"
            raise ConfigError(msg)
        self._counts[topic] = self._counts.get(topic, 0) + 1
        if self._counts[topic] == 1:
            self._lengths.add(topic)
            for peer in self._distributor.up:
                peer.announce(topic, is_wanted=True)

    def unsubscribe(self, topic: bytes) -> None:
        """Take back one subscription; tell the peers the last time.

        Raises:
            LocalProtocolError: Not subscribed to.
        """
        if topic not in self._counts:
            msg = f"not subscribed to {topic!r}"
            raise LocalProtocolError(msg)
        self._counts[topic] -= 1
        if not self._counts[topic]:
            del self._counts[topic]
            self._lengths.remove(topic)
            for peer in self._distributor.up:
                peer.announce(topic, is_wanted=False)

    def announce_all(self, peer: Peer) -> None:
        """Tell a new peer all."""
        for topic in self._counts:
            peer.announce(topic, is_wanted=True)

    def match(self, text: bytes) -> bool:
        """Tell whether a message that starts so is wanted."""
        return any(p in self._counts for p in self._lengths.prefixes(text))


class Subscriber(Mute):
    """Sends nothing but subscriptions: SUB.

    Attributes:
        subscriptions: What it subscribed to.
    """

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self.subscriptions = Subscriptions(self)

    @property
    def num_subscriptions(self) -> int:
        """Topics subscribed to."""
        return len(self.subscriptions)

    def add(self, peer: Peer) -> None:
        """Let a peer take part, and tell it all topics."""
        super().add(peer)
        self.subscriptions.announce_all(peer)


class ForwardingSubscriber(FanOut):
    """Sends subscriptions as messages of one part, and others to every peer: XSUB.

    Attributes:
        subscriptions: What it subscribed to.
    """

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self.subscriptions = Subscriptions(self)

    @property
    def num_subscriptions(self) -> int:
        """Topics subscribed to."""
        return len(self.subscriptions)

    def add(self, peer: Peer) -> None:
        """Let a peer take part, and tell it all topics."""
        super().add(peer)
        self.subscriptions.announce_all(peer)

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Subscribe, unsubscribe, or queue a message for every peer."""
        mark, topic = message[0][:1], message[0][1:]
        if urgent or len(message) > 1 or mark not in {b"\0", b"\1"}:
            return super().accept(message, urgent=urgent)
        if mark == b"\1":
            self.subscriptions.subscribe(topic)
        elif topic in self.subscriptions:
            self.subscriptions.unsubscribe(topic)
        return None


def subscriptions_of(distributor: Distributor, kind: int) -> Subscriptions:
    """Return what a socket subscribed to.

    Raises:
        LocalProtocolError: It is of a kind that does not subscribe.
    """
    if isinstance(distributor, Subscriber | ForwardingSubscriber):
        return distributor.subscriptions
    msg = f"a {KIND_NAMES[kind]} does not subscribe"
    raise LocalProtocolError(msg)
