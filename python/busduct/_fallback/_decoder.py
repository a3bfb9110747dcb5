"""Assemble frames and messages from a peer's bytes, within limits, without I/O."""

from busduct._fallback._zmtp import COMMAND, LONG, MAX_COMMAND_NBYTES, MORE
from busduct.errors import FrameTooLargeError, MalformedFrameError

__all__ = ["MessageDecoder"]

_KNOWN_FLAGS = MORE | LONG | COMMAND
_LARGE = 4096
_MAX_U64 = (1 << 64) - 1


class MessageDecoder:
    """Turn the bytes after a greeting into messages and commands.

    Limits are checked when a frame's header is complete, before its body is awaited:
    the buffer holds what was fed and never what was only announced.

    Attributes:
        frame_offset: Where the frame last taken starts in the peer's byte stream.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_max_message_nbytes",
        "_max_parts",
        "_nbytes",
        "_parts",
        "_position",
        "frame_offset",
    )

    def __init__(
        self, max_message_nbytes: int, max_parts: int, offset: int = 0
    ) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._base = offset
        self._max_message_nbytes = max_message_nbytes
        self._max_parts = max_parts
        self._parts: list[bytes] = []
        self._nbytes = 0
        self.frame_offset = offset

    @property
    def is_partial(self) -> bool:
        """Whether bytes of an unfinished frame or message are held."""
        return bool(self._parts) or self._position < len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes as they came from the peer."""
        if self._position:
            del self._buffer[: self._position]
            self._base += self._position
            self._position = 0
        self._buffer += data

    def take(self) -> list[bytes] | bytes | None:
        """Return the next message (a list), command body (bytes), or None for neither.

        Raises:
            MalformedFrameError: Flags that are reserved or exclude each other.
            FrameTooLargeError: A message or command over its limit.
        """
        while (frame := self._take_frame()) is not None:
            flags, body = frame
            if flags & COMMAND:
                return body
            self._parts.append(body)
            self._nbytes += len(body)
            if not flags & MORE:
                message, self._parts, self._nbytes = self._parts, [], 0
                return message
        return None

    def _take_frame(self) -> tuple[int, bytes] | None:
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if not available:
            return None
        flags = buffer[start]
        if flags & ~_KNOWN_FLAGS or (flags & COMMAND and flags & MORE):
            raise MalformedFrameError(self._base + start, "reserved frame flags")
        header = 9 if flags & LONG else 2
        if available < header:
            return None
        if flags & LONG:
            nbytes = int.from_bytes(buffer[start + 1 : start + 9], "big")
        else:
            nbytes = buffer[start + 1]
        self._check(flags, nbytes)
        if available - header < nbytes:
            return None
        body = start + header
        self._position = body + nbytes
        self.frame_offset = self._base + start
        if nbytes < _LARGE:
            return flags, bytes(buffer[body : self._position])
        with memoryview(buffer) as whole, whole[body : self._position] as view:
            return flags, bytes(view)

    def _check(self, flags: int, nbytes: int) -> None:
        if flags & COMMAND:
            if nbytes > MAX_COMMAND_NBYTES:
                raise FrameTooLargeError(nbytes, MAX_COMMAND_NBYTES)
            return
        total = self._nbytes + nbytes
        if total > self._max_message_nbytes:
            # Saturated, as the native decoder counts in 64 bits.
            raise FrameTooLargeError(min(total, _MAX_U64), self._max_message_nbytes)
        num_parts = len(self._parts) + 1 + (flags & MORE)
        if num_parts > self._max_parts:
            raise FrameTooLargeError(num_parts, self._max_parts, "parts")
