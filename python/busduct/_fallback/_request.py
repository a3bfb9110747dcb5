"""Questions and their answers, in turn: REQ (docs/wire.md, "Envelopes")."""

import random
from dataclasses import dataclass

from busduct._fallback._collector import FairQueue
from busduct._fallback._counters import Counters
from busduct._fallback._limits import check_size
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._round_robin import RoundRobin
from busduct._fallback._waiting import WaitQueue
from busduct.errors import LocalProtocolError, PeerLostError

__all__ = ["ReplyQueue", "RequestSender"]

_WRONG_TURN = "a REQ sends and receives in turn"


@dataclass(slots=True, eq=False)
class _Request:
    """A request that is out.

    Attributes:
        message: As it goes over the wire.
        peer: Whom it was queued for, and so may answer.
        answered_by: Who did.
        is_lost: Whether nobody will answer any more.
    """

    message: list[bytes]
    peer: Peer | None = None
    answered_by: Peer | None = None
    is_lost: bool = False


class RequestSender(RoundRobin):
    """Each request to the next peer in turn that has room.

    Attributes:
        request: The one that is out.
    """

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self.turn_rule = "" if options.req_relaxed else _WRONG_TURN
        self._number = random.getrandbits(32)
        self.replies = ReplyQueue(options, counters, self)
        self.request: _Request | None = None

    @property
    def envelope(self) -> list[bytes]:
        """What stands before the parts of the next request, and of its reply."""
        if self._options.req_correlate:
            return [self._number.to_bytes(4, "big"), b""]
        return [b""]

    @property
    def num_envelope_parts(self) -> int:
        """Parts of an envelope."""
        return 1 + self._options.req_correlate

    def check(self, message: list[bytes]) -> None:
        """Check a request with its envelope."""
        check_size(self._options, self.envelope + message)

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a request, or return the queue in which to wait for room.

        Raises:
            LocalProtocolError: The reply to the last one is still to be received.
        """
        before = self.request
        if before is not None and not self._options.req_relaxed:
            raise LocalProtocolError(_WRONG_TURN)
        self.request = _Request(self.envelope + message)
        full = super().accept(self.request.message)
        if full is not None:
            self.request = before
            return full
        self._number = (self._number + 1) & 0xFFFFFFFF
        if before is not None:
            self.replies.discard(before.answered_by)
        return None

    def blocker(self) -> WaitQueue | None:
        """Return where to wait; nowhere too if a request would be refused."""
        if self.request is not None and not self._options.req_relaxed:
            return None
        return super().blocker()

    def _give(
        self, peer: Peer, message: list[bytes], cost: int, *, urgent: bool
    ) -> None:
        if self.request is not None and message is self.request.message:
            self.request.peer = peer
        super()._give(peer, message, cost, urgent=urgent)

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out; a request not yet sent goes to another."""
        request = self.request
        if request is not None and any(m is request.message for m in peer.outbox):
            request.peer = None
        return super().remove(peer)

    def take_all(self) -> list[list[bytes]]:
        """Take the requests that are unsent, without their envelopes."""
        return [message[self.num_envelope_parts :] for message in super().take_all()]


class ReplyQueue(FairQueue):
    """The reply to the request that is out, and no other message."""

    takes_one = True

    def __init__(
        self, options: SocketOptions, counters: Counters, sender: RequestSender
    ) -> None:
        super().__init__(options, counters)
        self._sender = sender

    def deliver(self, peer: Peer, message: list[bytes]) -> bool:
        """Queue the reply that is awaited; drop what is something else."""
        request = self._sender.request
        if request is not None and self._is_reply(request, peer, message):
            request.answered_by = peer
            self._keep(peer, message)
        return True

    def _is_reply(self, request: _Request, peer: Peer, message: list[bytes]) -> bool:
        if request.peer is not peer or request.answered_by is not None:
            return False
        num_envelope_parts = self._sender.num_envelope_parts
        envelope = request.message[:num_envelope_parts]
        has_envelope = message[:num_envelope_parts] == envelope
        return has_envelope and len(message) > num_envelope_parts

    def check(self) -> None:
        """Refuse unless a request is out."""
        if self._sender.request is None:
            raise LocalProtocolError(_WRONG_TURN)

    @property
    def is_readable(self) -> bool:
        """Whether there is a reply, or none to be had."""
        request = self._sender.request
        return request is None or request.is_lost or super().is_readable

    @property
    def num_parts(self) -> int:
        """How many parts the reply has, without its envelope; 0 if it is not there."""
        if not self._ready:
            return 0
        return len(self._ready[0].inbox[0]) - self._sender.num_envelope_parts

    def take(self) -> list[bytes] | None:
        """Take the reply.

        Raises:
            PeerLostError: Nobody will answer.
        """
        request = self._sender.request
        if request is not None and request.is_lost and request.peer is not None:
            self._end_turn()
            raise PeerLostError(request.peer.endpoint)
        message = super().take()
        if message is None:
            return None
        self._end_turn()
        return message[self._sender.num_envelope_parts :]

    def _end_turn(self) -> None:
        self._sender.request = None
        # Who else waits has nothing to wait for.
        self.waiters.wake_all()

    def discard(self, peer: Peer | None) -> None:
        """Drop a reply that is wanted no more."""
        if peer is not None:
            self.clear()
            peer.discard_inbox()

    def lose(self, peer: Peer) -> None:
        """Learn that a peer will answer no more."""
        request = self._sender.request
        if request is None or request.peer is not peer or request.answered_by:
            return
        request.is_lost = True
        self.waiters.wake()
