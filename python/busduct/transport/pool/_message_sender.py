"""Encode messages once and copy them once, into shared memory where they are large."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from busduct._scopes import Scope
from busduct.errors import FrameTooLargeError
from busduct.transport.pool._long_texts import TEXT_NBYTES, TextSplitter

if TYPE_CHECKING:
    from busduct._core import Loan, Socket

__all__ = ["LOAN_NBYTES", "MessageSender", "send_large"]

Payload = bytearray | list[bytes | str]

T = TypeVar("T")

# From here on a loan, which is reused, is cheaper than a copy of its own each time.
LOAN_NBYTES = 16384


class MessageSender(Scope, Generic[T]):
    """Send messages over a PUSH socket, which it closes.

    Args:
        socket: Connected by the caller.
        max_message_bytes: That of the socket.
    """

    __slots__ = (
        "_buffer",
        "_encode_into",
        "_has_texts",
        "_max_nbytes",
        "_send_nowait",
        "_socket",
        "_split",
    )

    def __init__(self, socket: "Socket", max_message_bytes: int) -> None:
        self._socket = socket
        self._max_nbytes = max_message_bytes
        # Encoding into the same buffer again and again meets no fresh pages.
        self._buffer = bytearray()
        self._encode_into = msgspec.msgpack.Encoder().encode_into
        self._split = TextSplitter().split
        # Whether the last message was so large that the next may be of long texts.
        self._has_texts = False
        self._send_nowait = socket.send_nowait

    def send(self, data: T) -> None:
        """Accept a message at once.

        Raises:
            ClosedError: This side is closed.
            FrameTooLargeError: Over the limit.
            FullError: No room, and nothing was accepted; `asend` waits for it.
            TypeError: What msgpack cannot hold.
        """
        if self._has_texts and self._send_texts(data):
            return
        buffer = self._buffer
        self._encode_into(data, buffer)
        if len(buffer) < LOAN_NBYTES:
            self._send_nowait(buffer)
        else:
            self._has_texts = len(buffer) >= TEXT_NBYTES
            send_large(self._socket, buffer, self._max_nbytes)

    async def asend(self, data: T) -> None:
        """Accept a message, waiting for room; raises as `send`, but `FullError`.

        Cancelled while it waits: nothing was accepted.
        """
        payload: Payload | None = self._split(data) if self._has_texts else None
        if payload is None:
            payload = self._buffer
            self._encode_into(data, payload)
            self._has_texts = len(payload) >= TEXT_NBYTES
            if len(payload) < LOAN_NBYTES:
                await self._socket.send(payload)
                return
        await self._socket.send(_filled_loan(self._socket, payload, self._max_nbytes))

    def _send_texts(self, data: T) -> bool:
        """Send a message of long texts; whether it is one."""
        parts = self._split(data)
        self._has_texts = parts is not None
        if parts is not None:
            send_large(self._socket, parts, self._max_nbytes)
        return self._has_texts

    async def wait_writable(self) -> None:
        """Wait until there is room for a small message.

        Raises:
            ClosedError: This side is closed.
        """
        await self._socket.wait_writable()

    def close(self) -> None:
        """Close the socket, which goes on sending within its linger. Idempotent."""
        self._socket.close()


def send_large(socket: "Socket", payload: Payload, max_nbytes: int) -> None:
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


def _filled_loan(socket: "Socket", payload: Payload, max_nbytes: int) -> "Loan":
    nbytes = sum(map(len, payload)) if isinstance(payload, list) else len(payload)
    if nbytes > max_nbytes:
        raise FrameTooLargeError(nbytes, max_nbytes)
    loan = socket.loan(nbytes)
    if isinstance(payload, list):
        loan.fill(payload)
        return loan
    view: memoryview[Any]
    with memoryview(loan) as view:
        view[:] = payload
    return loan
