"""The sending half of a pattern, as the socket drives it."""

import abc

from busduct._fallback._counters import Counters
from busduct._fallback._kinds import KIND_NAMES, SUB
from busduct._fallback._limits import check_size
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._send_queue import SendQueue
from busduct._fallback._waiting import WaitQueue
from busduct.errors import FullError, LocalProtocolError

__all__ = ["SMALL_COST", "Distributor", "Mute"]

# What a message counts that is as small as can be.
SMALL_COST = 96


class Distributor(abc.ABC):
    """How a pattern hands messages to its peers.

    Attributes:
        up: The peers that take part.
        backlog: Messages that wait while there is no peer, or none with room.
        room: Senders that wait for no peer in particular.
        urgent_room: The same of urgent messages.
        keeps_lost: Whether `undelivered()` gives what could not be sent.
        turn_rule: Why no more than one message can be sent at a time; "" where it can.
    """

    keeps_lost = True
    turn_rule = ""

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        self._options = options
        self._policy = options.send_policy
        self._counters = counters
        self.up: list[Peer] = []
        self.backlog = SendQueue(options, counters)
        self.room = WaitQueue()
        self.urgent_room = WaitQueue()

    @property
    def num_subscriptions(self) -> int:
        """Topics that this side subscribed to, or that its peers did."""
        return 0

    def check(self, message: list[bytes]) -> None:
        """Check a message before it is accepted.

        Raises:
            FrameTooLargeError: Over the limits.
            LocalProtocolError: This kind cannot send it.
        """
        check_size(self._options, message)

    @abc.abstractmethod
    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""

    @abc.abstractmethod
    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""

    @abc.abstractmethod
    def blocker(self) -> WaitQueue | None:
        """Return where to wait until a small message is accepted; None for nowhere."""

    def admit(self, peer: Peer) -> None:  # noqa: B027
        """Judge a peer that completed its handshake.

        Raises:
            RemoteProtocolError: It is turned away.
        """

    def add(self, peer: Peer) -> None:
        """Let a peer take part."""
        self.up.append(peer)

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out; return what is lost by it."""
        self.up.remove(peer)
        self.wake_senders_of(peer)
        return peer.outbox.take_all()

    @staticmethod
    def wake_senders_of(peer: Peer) -> None:
        """Wake who waits for a peer that is gone."""
        peer.room.wake_all()
        peer.urgent_room.wake_all()

    @abc.abstractmethod
    def relieve(self, peer: Peer) -> None:
        """Use the room that a peer has made."""

    def take_all(self) -> list[list[bytes]]:
        """Take all that is unsent."""
        unsent = [message for peer in self.up for message in peer.outbox.take_all()]
        return unsent + self.backlog.take_all()

    def wake_all(self) -> None:
        """Wake everybody, for the socket is closed."""
        self.room.wake_all()
        self.urgent_room.wake_all()
        for peer in self.up:
            self.wake_senders_of(peer)


class Mute(Distributor):
    """Of kinds that do not send: PULL and SUB."""

    def check(self, message: list[bytes]) -> None:
        """Refuse every message."""
        kind = self._options.kind
        instead = "; an XSUB can" if kind == SUB else ""
        msg = f"a {KIND_NAMES[kind]} socket cannot send{instead}"
        raise LocalProtocolError(msg)

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Never reached by a message."""
        raise NotImplementedError

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Never reached by a message."""
        raise NotImplementedError

    def blocker(self) -> WaitQueue | None:
        """Return nowhere: a message is refused at once."""
        return None

    def relieve(self, peer: Peer) -> None:
        """Do nothing: nobody waits."""
