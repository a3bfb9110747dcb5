"""Questions of others and the answers to them, in turn: REP."""

from dataclasses import dataclass

from busduct._fallback._collector import FairQueue
from busduct._fallback._counters import Counters
from busduct._fallback._distributor import SMALL_COST, Distributor
from busduct._fallback._limits import check_size
from busduct._fallback._marks import message_cost
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import (
    FullError,
    LocalProtocolError,
    MalformedFrameError,
    PeerLostError,
)

__all__ = ["ReplySender", "RequestQueue"]

_WRONG_TURN = "a REP receives and sends in turn"


@dataclass(slots=True)
class _Debt:
    """A request that was received and not replied to."""

    peer: Peer
    envelope: list[bytes]


def _num_envelope_parts(message: list[bytes]) -> int:
    """Return how many parts there are up to and with the first empty one."""
    return message.index(b"") + 1


class ReplySender(Distributor):
    """Each reply to who asked.

    Attributes:
        debt: The request that is to be replied to.
    """

    turn_rule = _WRONG_TURN

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self.debt: _Debt | None = None

    def check(self, message: list[bytes]) -> None:
        """Check a reply with its envelope."""
        envelope = [b""] if self.debt is None else self.debt.envelope
        check_size(self._options, envelope + message)

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a reply, or return the queue in which to wait for room.

        Raises:
            FrameTooLargeError: With its envelope it is over the limits.
            LocalProtocolError: No request was received.
            PeerLostError: Who asked is gone.
        """
        debt = self.debt
        if debt is None:
            raise LocalProtocolError(_WRONG_TURN)
        if not debt.peer.is_listed:
            self.debt = None
            raise PeerLostError(debt.peer.endpoint)
        reply = debt.envelope + message
        check_size(self._options, reply)
        cost = message_cost(reply)
        if not debt.peer.outbox.admits(cost):
            return debt.peer.room
        self.debt = None
        debt.peer.push(reply, cost)
        debt.peer.room.wake_all()
        return None

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""
        queue = self.backlog if self.debt is None else self.debt.peer.outbox
        return queue.full_error()

    def blocker(self) -> WaitQueue | None:
        """Return where to wait until a small message is accepted; None for nowhere."""
        debt = self.debt
        if debt is None or not debt.peer.is_listed or self._policy == "error":
            return None
        return None if debt.peer.outbox.admits(SMALL_COST) else debt.peer.room

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out; return the replies that are lost by it."""
        return [_without_envelope(message) for message in super().remove(peer)]

    def take_all(self) -> list[list[bytes]]:
        """Take the replies that are unsent, without their envelopes."""
        return [_without_envelope(message) for message in super().take_all()]

    def relieve(self, peer: Peer) -> None:
        """Use the room that a peer has made."""
        if peer.room and peer.outbox.is_low():
            peer.room.wake_all()


def _without_envelope(message: list[bytes]) -> list[bytes]:
    return message[_num_envelope_parts(message) :]


class RequestQueue(FairQueue):
    """Requests, one at a time, their envelopes put by for the replies."""

    takes_one = True

    def __init__(
        self, options: SocketOptions, counters: Counters, sender: ReplySender
    ) -> None:
        super().__init__(options, counters)
        self._sender = sender

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Queue a request.

        Raises:
            MalformedFrameError: No delimiter, or nothing behind it.
        """
        if b"" not in message[:-1]:
            raise MalformedFrameError(peer.frame_offset, "request without a delimiter")
        self._keep(peer, message)
        return True

    def check(self) -> None:
        """Refuse while a reply is owed."""
        if self._sender.debt is not None:
            raise LocalProtocolError(_WRONG_TURN)

    @property
    def is_readable(self) -> bool:
        """Whether there is a request, or receiving is refused."""
        return self._sender.debt is not None or super().is_readable

    @property
    def num_parts(self) -> int:
        """How many parts the next request has without its envelope; 0 if none came."""
        if not self._ready:
            return 0
        message = self._ready[0].inbox[0]
        return len(message) - _num_envelope_parts(message)

    def take(self) -> list[bytes] | None:
        """Take the next request; a reply is owed from here on."""
        taken = self._take_from()
        if taken is None:
            return None
        peer, message = taken
        assert isinstance(peer, Peer)
        at = _num_envelope_parts(message)
        self._sender.debt = _Debt(peer, message[:at])
        # Who else waits would wait in vain.
        self.waiters.wake_all()
        return message[at:]
