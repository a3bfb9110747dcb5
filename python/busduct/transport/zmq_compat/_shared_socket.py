"""A socket as libzmq has it: parts one by one, and turns to be kept."""

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from busduct.errors import (
    BusductError,
    FullError,
    LocalProtocolError,
    PeerLostError,
)
from busduct.transport.zmq_compat._opening import Data, LazySocket
from busduct.transport.zmq_compat._shared import SharedContext
from busduct.transport.zmq_compat.constants import (
    Errno,
    PollEvent,
    SocketOption,
    SocketType,
)
from busduct.transport.zmq_compat.error import ZMQError, translate

if TYPE_CHECKING:
    from busduct._core import Socket as CoreSocket

__all__ = ["Data", "SharedSocket"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
_NOT_SENDING = {SocketType.PULL, SocketType.SUB}
_NOT_RECEIVING = {SocketType.PUSH, SocketType.PUB}
# Of these, sending a part asks for no turn and no address.
_SWIFT = {
    SocketType.PUSH,
    SocketType.PUB,
    SocketType.XPUB,
    SocketType.DEALER,
    SocketType.PAIR,
}
# Taken at once, under one lock, for the calls that follow.
_BATCH_MESSAGES, _BATCH_BYTES = 64, 64 << 10


class SharedSocket(LazySocket):
    """The state of a socket, whatever faces it has.

    All but the constructor is called under the lock of its context; nothing waits.

    Attributes:
        has_more: Whether further parts follow the one that was received last.
        incoming: What is left of the message that was received last.
        outgoing: The parts given so far of the next message.
        batch: Messages of one part that come behind those in `incoming`.
        taken: The number of the message that was received last, to put it back.
    """

    def __init__(
        self, shared: SharedContext, kind: SocketType, own: dict[str, Any]
    ) -> None:
        super().__init__(shared, kind, own)
        self.has_more = False
        self.incoming: deque[bytes] = deque()
        self.outgoing: list[Data] = []
        self.batch: deque[bytes] = deque()
        self.taken = 0
        # The number of the message in `incoming`, whether a part of it was received,
        # and messages that were put back behind it, by number.
        self._number = 0
        self._is_begun = False
        self._returned: list[tuple[int, list[bytes]]] = []
        self._num_messages = 0
        self._max_batch = 0
        # What a REQ or REP may do next; others may always do both.
        self._may_send = kind is not SocketType.REP
        self._may_recv = kind is not SocketType.REQ
        self._is_reply_lost = False

    def _opened(self, *, is_bound_first: bool) -> "CoreSocket":
        core = super()._opened(is_bound_first=is_bound_first)
        # A message within the context may concern others, who are told under the lock.
        is_swift = self.shared.is_atomic and self.kind in _SWIFT and not self.is_local
        self.swift_send = core.send_nowait if is_swift else None
        if self.kind in {SocketType.PULL, SocketType.SUB}:
            marks = self.options.number(SocketOption.RCVHWM) or _BATCH_MESSAGES
            is_stale = self.options.number(SocketOption.CONFLATE)
            self._max_batch = 0 if is_stale else min(marks, _BATCH_MESSAGES)
        return core

    def interrupt(self) -> None:
        """Let no call succeed any more."""
        super().interrupt()
        # NB: not cleared, because a call may be amid taking from it.
        self.batch = deque()

    def events(self) -> int:
        """Return what could be done at once, as POLLIN and POLLOUT."""
        events = 0
        if self.incoming or self.batch or self._is_readable():
            events |= POLLIN
        if self._may_send and self.kind not in _NOT_SENDING and self._is_writable():
            events |= POLLOUT
        return events

    def _is_readable(self) -> bool:
        if self._core is None or not self._may_recv or self._is_reply_lost:
            return False
        if self.kind in _NOT_RECEIVING or not self._core.readable:
            return False
        # What a REQ could receive may be that its peer is lost, which is not told.
        return self.kind is not SocketType.REQ or self._refill()

    def _is_writable(self) -> bool:
        if self._core is not None:
            return self._core.writable
        return self.kind in {SocketType.PUB, SocketType.XPUB, SocketType.ROUTER}

    def send_part(self, part: Data) -> None:
        """Keep a part until the last one of its message comes."""
        self.check()
        self._check_turn(is_sending=True)
        self.outgoing.append(part)

    def try_send(self, parts: Sequence[Data]) -> bool:
        """Send a message, or the rest of one; return False if there is no room.

        Raises:
            ZMQError: EFSM: not this one's turn. EHOSTUNREACH: no such peer. ENOTSUP:
                this kind does not send. EMSGSIZE: too large.
        """
        self.check()
        self._check_turn(is_sending=True)
        message = [*self.outgoing, *parts]
        try:
            is_sent = self._try_send(message)
        except PeerLostError as error:
            # libzmq lets go what a REP says to somebody who is gone.
            if self.kind is not SocketType.REP:
                self.outgoing.clear()
                raise translate(error) from error
            is_sent = True
        except BusductError as error:
            self.outgoing.clear()
            raise translate(error) from error
        if is_sent:
            self.outgoing.clear()
            self._sent()
        return is_sent

    @property
    def _is_relaxed(self) -> bool:
        return bool(self.options.number(SocketOption.REQ_RELAXED))

    def _try_send(self, message: list[Data]) -> bool:
        if self._core is None:
            return self._is_writable() and self._send_unopened()
        if len(message) == 1 and self.kind is not SocketType.ROUTER:
            send, what = self._core.send_nowait, message[0]
            return self._attempt(lambda: send(what))
        core = self._core
        return self._attempt(lambda: core.send_multipart_nowait(message))

    def _attempt(self, send: Callable[[], None]) -> bool:
        try:
            send()
        except FullError:
            self.shared.process()
            try:
                send()
            except FullError:
                return False
        return True

    def _send_unopened(self) -> bool:
        if self.options.number(SocketOption.ROUTER_MANDATORY):
            raise ZMQError(Errno.EHOSTUNREACH)
        return True

    def _sent(self) -> None:
        if self.kind is SocketType.REQ:
            self._may_recv = True
            self._is_reply_lost = False
            self.incoming.clear()
            self._returned.clear()
            self._may_send = self._is_relaxed
        elif self.kind is SocketType.REP:
            self._may_send, self._may_recv = False, True

    def try_recv(self) -> bytes | None:
        """Take the next part; None if there is none.

        Raises:
            ZMQError: EFSM: not this one's turn. ENOTSUP: this kind does not receive.
        """
        self.check()
        if not self._begin():
            return None
        part = self.incoming.popleft()
        self._is_begun = self.has_more = bool(self.incoming)
        if not self.has_more:
            self._received()
        return part

    def try_recv_rest(self) -> list[bytes] | None:
        """Take the next message, or the rest of one; None if there is none."""
        self.check()
        if not self._begin():
            return None
        parts = list(self.incoming)
        self.incoming.clear()
        self._is_begun = self.has_more = False
        self._received()
        return parts

    def put_back(self, parts: Sequence[bytes], number: int) -> None:
        """Take parts back that nobody got, of the message of that number."""
        if self.kind in {SocketType.REQ, SocketType.REP}:
            self._may_recv = True
            self._may_send = self._may_send and self._is_relaxed
        if self.incoming and number == self._number:
            self.incoming.extendleft(reversed(parts))
            return
        insort(self._returned, (number, list(parts)))
        if self.incoming and not self._is_begun and number < self._number:
            insort(self._returned, (self._number, list(self.incoming)))
            self.incoming.clear()
        if not self.incoming:
            self._take_returned()

    def _take_returned(self) -> None:
        self._number, parts = self._returned.pop(0)
        self.incoming.extend(parts)

    def _begin(self) -> bool:
        """Have a message in `incoming`, if there is one."""
        if not self.incoming:
            if not self.batch and not self._refill():
                return False
            if not self.incoming:
                self.incoming.append(self.batch.popleft())
            self._num_messages += 1
            self._number = self._num_messages
        self.taken = self._number
        return True

    def _refill(self) -> bool:
        self._check_turn(is_sending=False)
        if self._core is None or self._is_reply_lost:
            return False
        try:
            if self._take(self._core):
                return True
            self.shared.process()
            return self._take(self._core)
        except PeerLostError:
            # libzmq waits for that reply for ever; the time that the program allows
            # for it, or REQ_RELAXED, ends the wait.
            self._is_reply_lost = True
            return False
        except BusductError as error:
            raise translate(error) from error

    def _take(self, core: "CoreSocket") -> bool:
        if self._max_batch:
            try:
                self.batch.extend(core.recv_many_nowait(self._max_batch, _BATCH_BYTES))
                return bool(self.batch)
            except LocalProtocolError:
                # A message of several parts, and so are most that will follow it.
                self._max_batch = 0
        self.incoming.extend(core.recv_multipart_nowait() or ())
        return bool(self.incoming)

    def _received(self) -> None:
        if self.kind in {SocketType.REQ, SocketType.REP}:
            self._may_send, self._may_recv = True, False
        # NB: `incoming` is never empty while there are any: that is what calls look at.
        if self._returned:
            self._take_returned()

    def _check_turn(self, *, is_sending: bool) -> None:
        if self.kind in (_NOT_SENDING if is_sending else _NOT_RECEIVING):
            verb = "send" if is_sending else "receive"
            raise ZMQError(Errno.ENOTSUP, f"{self.kind.name} sockets do not {verb}")
        if not (self._may_send if is_sending else self._may_recv):
            raise ZMQError(Errno.EFSM)
