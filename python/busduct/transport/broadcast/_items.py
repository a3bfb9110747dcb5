"""Items of a broadcast queue as the messages that carry them, and back."""

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from busduct.codec import Codec
from busduct.errors import MalformedFrameError
from busduct.transport._parts import drop_frames, parts_codec_of
from busduct.transport.broadcast._wire import ITEM_HEADER

if TYPE_CHECKING:
    from busduct._core import Lease, Socket

__all__ = ["NOTHING", "ItemDecoder", "ItemParts", "encoder_of"]

T = TypeVar("T")

_NUM_ERRORS_KEPT: Final = 16


class Nothing(enum.Enum):
    """What stands for a message that is no item, for None may be one."""

    NOTHING = 0


NOTHING: Final = Nothing.NOTHING


class ItemParts(NamedTuple):
    """An item of several parts, where they lie."""

    parts: "list[Lease]"


def encoder_of(codec: Codec[T] | None, socket: "Socket") -> Callable[[T], Any]:
    """Return what makes a buffer of an item, or a list where it has several parts.

    Args:
        codec: None where items are buffers.
        socket: Lends memory for the parts of an item that has several.
    """
    if codec is None:
        return _itself
    parts_codec = parts_codec_of(codec)
    if parts_codec is None:
        return lambda item: codec.encode(item)[1]

    def encode(item: T) -> Any:
        payload, *others = parts_codec.encode_parts(item, socket.loan)
        return [ITEM_HEADER, payload, *others] if others else payload

    return encode


def _itself(item: Any) -> Any:
    return item


class ItemDecoder(Generic[T]):
    """Make items of messages.

    Args:
        codec: None where items are bytes.

    Attributes:
        num_decoded: Items.
        num_malformed: Messages that are none.
    """

    def __init__(self, codec: Codec[T] | None) -> None:
        self._codec: Any = codec
        self._errors: deque[Exception] = deque(maxlen=_NUM_ERRORS_KEPT)
        self.num_decoded = 0
        self.num_malformed = 0

    def errors(self) -> list[Exception]:
        """Return why messages were no items, oldest first, the last 16."""
        return list(self._errors)

    def decode(self, found: bytes | ItemParts) -> T | Nothing:
        """Return the item, or that there is none.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        if self._codec is not None:
            return self._decode(found)
        if isinstance(found, ItemParts):
            return self._refuse(found)
        self.num_decoded += 1
        # Without a codec, T is bytes.
        return found  # type: ignore[return-value]

    def decode_all(self, found: list[bytes] | ItemParts) -> list[T]:
        """Return the items of several messages.

        Raises:
            Exception: What the codec raises in `on_decode_error`.
        """
        several: Sequence[bytes | ItemParts]
        several = [found] if isinstance(found, ItemParts) else found
        if self._codec is None and several is found:
            self.num_decoded += len(several)
            return found  # type: ignore[return-value]
        items = map(self.decode, several)
        return [item for item in items if item is not NOTHING]

    def lease(self, found: "Lease | ItemParts") -> "Lease | None":
        """Return an item of one part as it lies; None if it has several."""
        if isinstance(found, ItemParts):
            self._refuse(found)
            return None
        self.num_decoded += 1
        return found

    def _decode(self, found: bytes | ItemParts) -> T | Nothing:
        item: T
        try:
            if isinstance(found, ItemParts):
                item = self._codec.decode_parts(found.parts)
            else:
                item = self._codec.decode(found)
        except Exception as error:
            self._note(error)
            payload = bytes(found.parts[0]) if isinstance(found, ItemParts) else found
            stand_in: T | None = self._codec.on_decode_error(payload, error)
            return NOTHING if stand_in is None else stand_in
        self.num_decoded += 1
        return item

    def _refuse(self, found: ItemParts) -> Nothing:
        reason = f"item of {len(found.parts)} parts where 1 is due"
        self._note(MalformedFrameError(0, reason))
        return NOTHING

    def _note(self, error: Exception) -> None:
        self.num_malformed += 1
        drop_frames(error)
        self._errors.append(error)
