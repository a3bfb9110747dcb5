"""One part of a message, as an object."""

from typing import Any, Self, TypeAlias

from busduct.transport.zmq_compat.constants import MessageOption
from busduct.transport.zmq_compat.error import NotSupportedError

# The class below has a property of that name.
_Bytes: TypeAlias = bytes

__all__ = ["FINISHED_TRACKER", "Frame", "MessageTracker"]


class MessageTracker:
    """Tell when a buffer that was sent may be changed: at once, always.

    A mutable buffer is copied when it is sent, so nothing is waited for.
    """

    done = True

    def __init__(self, *towatch: object) -> None:
        """Make a tracker of anything.

        Raises:
            ValueError: A frame without a tracker.
        """
        if any(isinstance(each, Frame) and each.tracker is None for each in towatch):
            msg = "a frame without a tracker cannot be tracked"
            raise ValueError(msg)

    def wait(self, timeout: float = -1) -> None:
        """Return at once."""


FINISHED_TRACKER = MessageTracker()


class Frame(bytes):
    """One part of a message; it is its bytes, and their read-only buffer.

    Attributes:
        more: Whether further parts of its message follow it.
        tracker: A finished `MessageTracker` if tracking was asked for, else None.
    """

    more: bool
    tracker: MessageTracker | None
    _data: _Bytes
    _view: memoryview

    def __new__(
        cls,
        data: Any = b"",
        track: bool = False,
        copy: bool | None = None,
        copy_threshold: int | None = None,
        *,
        more: bool = False,
    ) -> Self:
        """Make a frame of any bytes-like object.

        Args:
            data: Copied, unless it is `bytes`.
            track: Give it a tracker.
            copy: Accepted and without meaning.
            copy_threshold: Accepted and without meaning.
            more: Whether further parts follow.

        Raises:
            BufferError: Not contiguous.
            TypeError: Not bytes-like.
        """
        if isinstance(data, str):
            msg = f"a frame is made of bytes, not of text: {data[:32]!r}"
            raise TypeError(msg)
        raw = data if type(data) is bytes else _contiguous(data)
        self = super().__new__(cls, raw)
        self._data = raw
        self._view = memoryview(raw)
        self.more = more
        self.tracker = FINISHED_TRACKER if track else None
        return self

    @property
    def bytes(self) -> _Bytes:
        """The content."""
        return self._data

    @property
    def buffer(self) -> memoryview:
        """The content as a read-only view."""
        return self._view

    def get(self, option: int | str) -> int:
        """Return MORE or SHARED.

        Raises:
            NotSupportedError: Another property.
        """
        if option == MessageOption.MORE:
            return int(self.more)
        if option == MessageOption.SHARED:
            return 0
        raise NotSupportedError(msg=f"frames have no property {option!r} here")

    def __bytes__(self) -> _Bytes:
        return self._data

    def __repr__(self) -> str:
        shown = repr(self._data) if len(self) <= 16 else f"{self._data[:12]!r}..."
        size = "" if len(self) <= 16 else f"{len(self)}B"
        return f"<zmq.Frame({shown}{size})>"

    __str__ = __repr__


def _contiguous(data: Any) -> _Bytes:
    view = memoryview(data)
    if not view.contiguous:
        msg = "a frame is made of a contiguous buffer"
        raise BufferError(msg)
    return view.tobytes()
