"""Put a codec on a socket: the SenderTransport and ReceiverTransport of callers."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from busduct._backend import load_backend
from busduct._scopes import Scope
from busduct.codec import Codec, PartsCodec
from busduct.errors import (
    ClosedError,
    LocalProtocolError,
    MalformedFrameError,
)
from busduct.tensors import Tensor
from busduct.transport._parts import drop_frames, parts_codec_of
from busduct.transport._waiting_line import WaitingLine

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


class Sender(Scope, Generic[T]):
    """Send typed messages over a PUSH, DEALER or PAIR socket, which it closes.

    Arrays go as parts of their own where the codec says so, through shared memory where
    the connection does: copied once, or not at all from `loan_tensor`.

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
        self._parts_codec = parts_codec_of(codec)

    def send(self, data: T) -> None:
        """Accept a message at once.

        Raises:
            BufferError: A loan of which views are still held.
            ClosedError: This side is closed.
            FrameTooLargeError: Over a limit of the codec or of the socket.
            FullError: No room, and nothing was accepted; `asend` waits for it.
            TypeError: What the codec cannot encode.
        """
        if self._parts_codec is None:
            self._socket.send_nowait(self._codec.encode(data)[1])
        else:
            parts = self._parts_codec.encode_parts(data, self._socket.loan)
            self._socket.send_multipart_nowait(parts)

    async def asend(self, data: T) -> None:
        """Accept a message, waiting for room; raises as `send`, but `FullError`.

        Cancelled while it waits: nothing was accepted, and a loan is gone.
        """
        if self._parts_codec is None:
            await self._socket.send(self._codec.encode(data)[1])
        else:
            parts = self._parts_codec.encode_parts(data, self._socket.loan)
            await self._socket.send_multipart(parts)

    def loan_tensor(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """Lend a tensor to be filled in place and sent without a copy.

        What it holds at first is undefined. ``tensor.numpy()[...] = values`` fills it;
        no array over it may be left when it is sent.

        Args:
            dtype: A name of `busduct.tensors.DTYPES`.
            shape: The length of each dimension.

        Raises:
            ClosedError: This side is closed.
            ConfigError: An unknown type, or no shape.
            MemoryError: There is none.
        """
        return Tensor.lend(self._socket.loan, dtype, shape)

    def close(self) -> None:
        """Close the socket, which goes on sending within its linger. Idempotent."""
        self._socket.close()


class Receiver(Scope, Generic[T]):
    """Receive typed messages from a PULL, DEALER, PAIR or SUB socket, which it closes.

    What does not decode is counted, kept in `recent_errors`, and dropped or replaced as
    the codec says; the messages behind it come. It holds up to 64 KiB of messages that
    it took from the socket, and decodes each when it is taken from here. A message that
    decodes to None is skipped: it could not be told from the end.

    Arrays are views of what was received, which they keep: valid whatever becomes of
    this, the socket and the peer, read-only, and in memory of the sender's, which it
    cannot reuse until they are gone. NB: a hostile sender could change them meanwhile.

    Args:
        socket: Bound or connected by the caller, who also chose its marks.
        codec: Reads the payloads.
        copy: Copy arrays into memory of their own, which can be written.

    Raises:
        LocalProtocolError: A socket of another kind.
    """

    def __init__(
        self, socket: "Socket", codec: Codec[T], *, copy: bool = False
    ) -> None:
        _require_kind(socket, _RECEIVING_KINDS, "receive from PULL, DEALER, PAIR, SUB")
        self._socket = socket
        self._codec = codec
        self._parts_codec = parts_codec_of(codec)
        self._copy = copy
        self._taken: deque[bytes] = deque()
        self._line = WaitingLine()
        # A task waits for the socket.
        self._is_awaited = False
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

        Cancelling loses nothing. Several tasks may receive at once: each message goes
        to the one that has waited longest. To one alone, what comes at once comes
        without giving way to other tasks.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        try:
            return await self._line.take(self.poll, self._wait)
        except ClosedError:
            return None

    def poll(self) -> T | None:
        """Take the next message; None if there is none, or once closed.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        if self._socket.closed:
            self._taken.clear()
            return None
        if self._parts_codec is not None:
            return self._poll_parts(self._parts_codec)
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

    async def _wait(self) -> None:
        self._is_awaited = True
        try:
            await self._socket.wait_readable()
        finally:
            self._is_awaited = False

    def _take(self) -> bool:
        """Take a burst from the socket; tell whether anything came."""
        # Who waits for it would not learn of what another task keeps here.
        max_n = 1 if self._is_awaited else MAX_BURST_MESSAGES
        while True:
            try:
                burst = self._socket.recv_many_nowait(max_n, MAX_BURST_BYTES)
            except LocalProtocolError:
                # The next message has several parts: the peer is no `Sender`.
                parts = self._socket.recv_multipart_nowait()
                num_parts = len(parts or ())
                reason = f"message of {num_parts} parts where 1 is due"
                self._count(MalformedFrameError(0, reason))
                continue
            self._taken.extend(burst)
            return bool(burst)

    def _poll_parts(self, codec: PartsCodec[T]) -> T | None:
        while (parts := self._socket.recv_multipart_lease_nowait()) is not None:
            try:
                item: T | None = codec.decode_parts(parts, copy=self._copy)
            except Exception as error:
                item = self._note(parts[0].tobytes(), error)
                drop_frames(error)
            if item is not None:
                return item
        return None

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
