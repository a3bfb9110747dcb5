"""Put a codec on a socket: the SenderTransport and ReceiverTransport of callers."""

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, runtime_checkable

from busduct._backend import load_backend
from busduct.codec import Codec
from busduct.errors import (
    ClosedError,
    LocalProtocolError,
    MalformedFrameError,
)

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Receiver", "ReceiverTransport", "Sender", "SenderTransport"]

_backend = load_backend()

T = TypeVar("T")
SentT_contra = TypeVar("SentT_contra", contravariant=True)
ReceivedT_co = TypeVar("ReceivedT_co", covariant=True)

# NB: larger bursts of small objects are slower, not faster: malloc trims and faults.
MAX_BURST_BYTES = 65536
MAX_BURST_MESSAGES = 256
NUM_ERRORS_KEPT = 16
_SENDING_KINDS = frozenset((_backend.PUSH, _backend.DEALER, _backend.PAIR))
_RECEIVING_KINDS = frozenset(
    (_backend.PULL, _backend.DEALER, _backend.PAIR, _backend.SUB)
)


@runtime_checkable
class SenderTransport(Protocol[SentT_contra]):
    """Where one-way messages go."""

    def send(self, data: SentT_contra) -> None:
        """Accept a message at once."""
        ...

    def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...


@runtime_checkable
class ReceiverTransport(Protocol[ReceivedT_co]):
    """Where messages come from."""

    async def recv(self) -> ReceivedT_co | None:
        """Take the next message, waiting for it; None once closed."""
        ...

    def poll(self) -> ReceivedT_co | None:
        """Take the next message; None if there is none."""
        ...

    def close(self) -> None:
        """Release what it holds; `recv` returns None from then on. Idempotent."""
        ...


class Sender(Generic[T]):
    """Send typed messages over a PUSH, DEALER or PAIR socket, which it closes.

    Args:
        socket: Bound or connected by the caller, who also chose its marks.
        codec: Makes the payloads; its topics are not sent.

    Raises:
        LocalProtocolError: A socket of another kind.
    """

    def __init__(self, socket: "Socket", codec: Codec[T]) -> None:
        _require_kind(socket, _SENDING_KINDS, "send to PUSH, DEALER and PAIR")
        self._socket = socket
        self._codec = codec

    def send(self, data: T) -> None:
        """Accept a message at once.

        Raises:
            ClosedError: This side is closed.
            FrameTooLargeError: Over a limit of the codec or of the socket.
            FullError: No room, and nothing was accepted; `asend` waits for it.
        """
        self._socket.send_nowait(self._codec.encode(data)[1])

    async def asend(self, data: T) -> None:
        """Accept a message, waiting for room; raises as `send`, but `FullError`.

        Cancelled while it waits: nothing was accepted.
        """
        await self._socket.send(self._codec.encode(data)[1])

    def close(self) -> None:
        """Close the socket, which goes on sending within its linger. Idempotent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


class Receiver(Generic[T]):
    """Receive typed messages from a PULL, DEALER, PAIR or SUB socket, which it closes.

    What does not decode is counted, kept in `recent_errors`, and dropped or replaced as
    the codec says; the messages behind it come. It holds up to 64 KiB of messages that
    it took from the socket, and decodes each when it is taken from here. A message that
    decodes to None is skipped: it could not be told from the end.

    Args:
        socket: Bound or connected by the caller, who also chose its marks.
        codec: Reads the payloads.

    Raises:
        LocalProtocolError: A socket of another kind.
    """

    def __init__(self, socket: "Socket", codec: Codec[T]) -> None:
        _require_kind(socket, _RECEIVING_KINDS, "receive from PULL, DEALER, PAIR, SUB")
        self._socket = socket
        self._codec = codec
        self._taken: deque[bytes] = deque()
        self._errors: deque[Exception] = deque(maxlen=NUM_ERRORS_KEPT)
        self._num_malformed = 0

    @property
    def num_malformed(self) -> int:
        """Messages that did not decode."""
        return self._num_malformed

    def recent_errors(self) -> list[Exception]:
        """Return why messages did not decode, oldest first, the last 16."""
        return list(self._errors)

    async def recv(self) -> T | None:
        """Take the next message, waiting for it; None once closed.

        Cancelling loses nothing. What comes at once comes without giving way to other
        tasks.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        while (item := self.poll()) is None:
            try:
                await self._socket.wait_readable()
            except ClosedError:
                return None
        return item

    def poll(self) -> T | None:
        """Take the next message; None if there is none, or once closed.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        if self._socket.closed:
            self._taken.clear()
            return None
        while self._taken or self._take():
            payload = self._taken.popleft()
            try:
                item = self._codec.decode(payload)
            except Exception as error:
                stand_in = self._note(payload, error)
                if stand_in is not None:
                    return stand_in
            else:
                if item is not None:
                    return item
        return None

    def close(self) -> None:
        """Close the socket; what was received and not taken is gone. Idempotent."""
        self._taken.clear()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> bool:
        """Take a burst from the socket; tell whether anything came."""
        while True:
            try:
                burst = self._socket.recv_many_nowait(
                    MAX_BURST_MESSAGES, MAX_BURST_BYTES
                )
            except LocalProtocolError:
                # The next message has several parts: the peer is no `Sender`.
                parts = self._socket.recv_multipart_nowait()
                num_parts = len(parts or ())
                reason = f"message of {num_parts} parts where 1 is due"
                self._count(MalformedFrameError(0, reason))
                continue
            self._taken.extend(burst)
            return bool(burst)

    def _note(self, payload: bytes, error: Exception) -> T | None:
        self._count(error)
        return self._codec.on_decode_error(payload, error)

    def _count(self, error: Exception) -> None:
        self._num_malformed += 1
        self._errors.append(error)


def _require_kind(socket: "Socket", kinds: frozenset[int], what: str) -> None:
    if socket.kind not in kinds:
        msg = f"one can {what}, not socket kind {socket.kind}"
        raise LocalProtocolError(msg)
