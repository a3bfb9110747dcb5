"""The receiving half of a pattern: which messages count, and whose is next."""

import abc
from collections import deque
from typing import Protocol

from busduct._fallback._counters import Counters
from busduct._fallback._kinds import KIND_NAMES, PUB
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import LocalProtocolError

__all__ = ["Collector", "Deaf", "FairQueue", "RoutingQueue", "Source"]


class Source(Protocol):
    """What messages are taken from in turn.

    Attributes:
        inbox: Messages to take.
        is_ready: It waits for its turn.
    """

    inbox: deque[list[bytes]]
    is_ready: bool

    def pop(self) -> list[bytes]:
        """Take the next message."""


class Collector(abc.ABC):
    """How a pattern takes what its peers send.

    Attributes:
        waiters: Who waits for a message.
        takes_one: Whether no more than one message can be taken at a time.
    """

    takes_one = False

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        self._options = options
        self._counters = counters
        self.waiters = WaitQueue()

    @abc.abstractmethod
    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Deal with a message that came; False to be offered it again later.

        Raises:
            RemoteProtocolError: The peer may not say that.
        """

    @abc.abstractmethod
    def check(self) -> None:
        """Check that a message may be received.

        Raises:
            LocalProtocolError: Not by this kind, or not now.
        """

    @property
    @abc.abstractmethod
    def is_readable(self) -> bool:
        """Whether a receive would give a message, or an error, at once."""

    @property
    @abc.abstractmethod
    def num_parts(self) -> int:
        """How many parts the next message has for the caller; 0 if there is none."""

    @abc.abstractmethod
    def take(self) -> list[bytes] | None:
        """Take the next message as the caller is to see it."""

    def lose(self, peer: Peer) -> None:  # noqa: B027
        """Learn that no more will come from a peer."""

    def clear(self) -> None:  # noqa: B027
        """Forget what there is to take."""

    def statistics(self) -> tuple[int, int]:
        """Return how many messages wait besides those of peers, and their cost."""
        return 0, 0


class Deaf(Collector):
    """Of kinds that do not receive: PUSH."""

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Drop a message."""
        return True

    def check(self) -> None:
        """Refuse to receive."""
        kind = self._options.kind
        instead = "; an XPUB can" if kind == PUB else ""
        msg = f"a {KIND_NAMES[kind]} socket cannot receive{instead}"
        raise LocalProtocolError(msg)

    @property
    def is_readable(self) -> bool:
        """Whether a receive would give an error at once: it would."""
        return True

    @property
    def num_parts(self) -> int:
        """How many parts the next message has: there is none."""
        return 0

    def take(self) -> list[bytes] | None:
        """Return nothing."""
        return None


class FairQueue(Collector):
    """All messages; peers that have some take turns: PULL, DEALER, PAIR, XSUB."""

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self._ready: deque[Source] = deque()

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Queue a message."""
        self._keep(peer, message)
        return True

    def _keep(self, peer: Peer, message: list[bytes]) -> None:
        self._counters.num_messages_received += 1
        self._counters.num_bytes_received += sum(map(len, message))
        if peer.keep(message):
            self._line_up(peer)

    def _line_up(self, source: Source) -> None:
        """Note that a source has messages; wake one that waits."""
        if not source.is_ready:
            source.is_ready = True
            self._ready.append(source)
        self.waiters.wake()

    def check(self) -> None:
        """Permit it at any time."""

    @property
    def is_readable(self) -> bool:
        """Whether there is a message."""
        return bool(self._ready)

    @property
    def num_parts(self) -> int:
        """How many parts the next message has; 0 if there is none."""
        return len(self._ready[0].inbox[0]) if self._ready else 0

    def take(self) -> list[bytes] | None:
        """Take the next message; its peer goes to the end of the line."""
        taken = self._take_from()
        return None if taken is None else taken[1]

    def _take_from(self) -> tuple[Source, list[bytes]] | None:
        if not self._ready:
            return None
        source = self._ready.popleft()
        # Popping may let more come from this source, and line it up again.
        source.is_ready = False
        message = source.pop()
        if source.inbox and not source.is_ready:
            source.is_ready = True
            self._ready.append(source)
        if self._ready:
            self.waiters.wake()
        return source, message

    def clear(self) -> None:
        """Forget what there is to take."""
        for source in self._ready:
            source.is_ready = False
        self._ready.clear()


class RoutingQueue(FairQueue):
    """Messages with the id of their peer in front: ROUTER."""

    @property
    def num_parts(self) -> int:
        """How many parts the next message has, its peer's id among them."""
        return 1 + super().num_parts if self._ready else 0

    def take(self) -> list[bytes] | None:
        """Take the next message, its peer's routing id first."""
        taken = self._take_from()
        if taken is None:
            return None
        peer, message = taken
        assert isinstance(peer, Peer)
        return [peer.routing_id, *message]
