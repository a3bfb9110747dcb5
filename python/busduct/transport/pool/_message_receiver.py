"""Take messages from a socket in bursts, and decode each when it is taken from here."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from busduct._scopes import Scope
from busduct.errors import ClosedError, LocalProtocolError
from busduct.transport._waiting_line import WaitingLine
from busduct.transport.pool._long_texts import MALFORMED, TEXT_NBYTES, TextJoiner

if TYPE_CHECKING:
    from busduct._core import Lease, Socket

__all__ = ["MessageReceiver"]

_log = logging.getLogger("busduct.transport")

T = TypeVar("T")

# NB: larger bursts of small objects are slower, not faster: malloc trims and faults.
MAX_BURST_BYTES = 65536
MAX_BURST_MESSAGES = 256
# What is larger lies in shared memory, and is decoded there rather than copied first.
LEASE_NBYTES = 16384
# Bursts after which others have their turn, where there always is another.
MAX_BURSTS = 16
# Of one drain, which must end where a peer sends as fast as it takes.
MAX_DRAINED = 65536


class MessageReceiver(Scope, Generic[T]):
    """Receive messages from a PULL socket, which it closes.

    What does not decode is dropped and counted, and logged the first time; the messages
    behind it come. Several tasks may receive at once: each message goes to the one that
    has waited longest.

    Args:
        socket: Bound or connected by the caller.
        decoder: Reads the payloads; of a type that has no None.
    """

    def __init__(self, socket: "Socket", decoder: "msgspec.msgpack.Decoder[T]") -> None:
        self._socket = socket
        self._decode_plain = decoder.decode
        self._decode: Callable[[bytes | Lease], T] = self._decode_plain
        self._decode_texts = TextJoiner(decoder).decode
        self._taken: deque[bytes | Lease] = deque()
        self._pop = self._taken.popleft
        self._line = WaitingLine()
        self._num_malformed = 0
        self._num_waiting = 0
        self._num_bursts = 0
        self._is_large = False

    @property
    def num_malformed(self) -> int:
        """Messages that did not decode."""
        return self._num_malformed

    @property
    def num_taken(self) -> int:
        """Messages taken from the socket, and not yet from here."""
        return len(self._taken)

    async def recv(self) -> T | None:
        """Take the next message, waiting for it; None once closed.

        Cancelling loses nothing. What comes at once comes without giving way to other
        tasks, for a while.
        """
        # NB: this is what most calls do, and all that they pay for.
        if self._taken and not self._line.places:
            try:
                return self._decode(self._pop())
            except MALFORMED as error:
                self._note(error)
        return await self._recv_in_line()

    async def _recv_in_line(self) -> T | None:
        line = self._line
        if is_in_line := bool(line.places):
            await line.join()
        try:
            while True:
                while self._taken:
                    try:
                        return self._decode(self._pop())
                    except MALFORMED as error:
                        self._note(error)
                if not is_in_line:
                    is_in_line = True
                    line.begin()
                if self._num_bursts >= MAX_BURSTS:
                    self._num_bursts = 0
                    await asyncio.sleep(0)
                if not await self.wait_readable():
                    return None
                self._num_bursts += 1
                self._take()
        finally:
            if is_in_line:
                line.leave()

    def poll(self) -> T | None:
        """Take the next message; None if there is none, or once closed."""
        while self._taken or self._take():
            try:
                return self._decode(self._pop())
            except MALFORMED as error:
                self._note(error)
        return None

    def drain(self, max_n: int | None = None) -> list[T]:
        """Take the messages that are there; none once closed.

        Args:
            max_n: How many at most; None for 65536.
        """
        most = MAX_DRAINED if max_n is None else max_n
        items: list[T] = []
        while len(items) < most and (self._taken or self._take()):
            num_wanted = min(most - len(items), len(self._taken))
            payloads = [self._pop() for _ in range(num_wanted)]
            try:
                items += list(map(self._decode, payloads))
            except MALFORMED:
                items += self._decode_each(payloads)
        return items

    async def wait_readable(self) -> bool:
        """Wait until something has come, and take nothing; False once closed.

        What has come may turn out to be malformed, so that `poll` gives None after all.
        Cancelling is safe.
        """
        if self._taken:
            return True
        self._num_waiting += 1
        try:
            await self._socket.wait_readable()
        except ClosedError:
            return False
        finally:
            self._num_waiting -= 1
        return True

    def close(self) -> None:
        """Close the socket; what was received and not taken is gone. Idempotent."""
        self._socket.close()
        self._taken.clear()

    def _take(self) -> bool:
        """Take a burst from the socket; tell whether anything came."""
        # A task that waits for the socket would not learn of what is kept here.
        max_n = 1 if self._num_waiting else MAX_BURST_MESSAGES
        while True:
            try:
                if self._is_large:
                    return self._take_lease()
                burst = self._socket.recv_many_nowait(max_n, MAX_BURST_BYTES)
            except LocalProtocolError:
                # The next message has several parts, which no peer of ours sends.
                parts = self._socket.recv_multipart_nowait()
                num_parts = len(parts or ())
                self._note(f"message of {num_parts} parts where 1 is due")
                continue
            except ClosedError:
                return False
            if not burst:
                return False
            self._taken.extend(burst)
            self._decode = self._decode_plain
            self._is_large = len(burst[-1]) > LEASE_NBYTES
            return True

    def _take_lease(self) -> bool:
        """Take one message where it lies, as long as they are large."""
        lease = self._socket.recv_lease_nowait()
        if lease is None:
            return False
        nbytes = lease.nbytes
        self._is_large = nbytes > LEASE_NBYTES
        # Either of them decodes whatever is still here.
        has_text = nbytes >= TEXT_NBYTES
        self._decode = self._decode_texts if has_text else self._decode_plain
        self._taken.append(lease)
        return True

    def _decode_each(self, payloads: "list[bytes | Lease]") -> list[T]:
        items = []
        for payload in payloads:
            try:
                items.append(self._decode(payload))
            except MALFORMED as error:
                self._note(error)
        return items

    def _note(self, reason: object) -> None:
        self._num_malformed += 1
        if self._num_malformed == 1:
            # NB: records are kept, and with an error the payload in its traceback.
            text = str(reason)
            _log.warning("dropped a malformed message, and will others: %s", text)
