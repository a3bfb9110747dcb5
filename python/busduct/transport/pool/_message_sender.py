"""Encode messages once and copy them once, into shared memory where they are large."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from busduct._scopes import Scope
from busduct.errors import FrameTooLargeError

if TYPE_CHECKING:
    from busduct._core import Loan, Socket

__all__ = ["LOAN_NBYTES", "MessageSender", "send_large"]

T = TypeVar("T")

# From here on a loan, which is reused, is cheaper than a copy of its own each time.
LOAN_NBYTES = 16384


class MessageSender(Scope, Generic[T]):
    """Send messages over a PUSH socket, which it closes.

    Args:
        socket: Connected by the caller.
        max_message_bytes: That of the socket.
    """

    __slots__ = ("_buffer", "_encode_into", "_max_nbytes", "_send_nowait", "_socket")

    def __init__(self, socket: "Socket", max_message_bytes: int) -> None:
        self._socket = socket
        self._max_nbytes = max_message_bytes
        # Encoding into the same buffer again and again meets no fresh pages.
        self._buffer = bytearray()
        self._encode_into = msgspec.msgpack.Encoder().encode_into
        self._send_nowait = socket.send_nowait

    def send(self, data: T) -> None:
        """Accept a message at once.

        Raises:
            ClosedError: This side is closed.
            FrameTooLargeError: Over the limit.
            FullError: No room, and nothing was accepted; `asend` waits for it.
            TypeError: What msgpack cannot hold.
        """
        buffer = self._buffer
        self._encode_into(data, buffer)
        if len(buffer) < LOAN_NBYTES:
            self._send_nowait(buffer)
        else:
            send_large(self._socket, buffer, self._max_nbytes)

    async def asend(self, data: T) -> None:
        """Accept a message, waiting for room; raises as `send`, but `FullError`.

        Cancelled while it waits: nothing was accepted.
        """
        self._encode_into(data, self._buffer)
        if len(self._buffer) < LOAN_NBYTES:
            await self._socket.send(self._buffer)
        else:
            await self._socket.send(
                _filled_loan(self._socket, self._buffer, self._max_nbytes)
            )

    async def wait_writable(self) -> None:
        """Wait until there is room for a small message.

        Raises:
            ClosedError: This side is closed.
        """
        await self._socket.wait_writable()

    def close(self) -> None:
        """Close the socket, which goes on sending within its linger. Idempotent."""
        self._socket.close()


def send_large(socket: "Socket", payload: bytearray, max_nbytes: int) -> None:
    """Send a payload through memory of the socket's.

    Raises:
        FrameTooLargeError: It is over `max_nbytes`; nothing was allocated.
        FullError: No room, and nothing was accepted.
    """
    loan = _filled_loan(socket, payload, max_nbytes)
    try:
        socket.send_nowait(loan)
    except BaseException:
        loan.release()
        raise


def _filled_loan(socket: "Socket", payload: bytearray, max_nbytes: int) -> "Loan":
    if len(payload) > max_nbytes:
        raise FrameTooLargeError(len(payload), max_nbytes)
    loan = socket.loan(len(payload))
    view: memoryview[Any]
    with memoryview(loan) as view:
        view[:] = payload
    return loan
