"""Messages that are long texts for the most part, of which each text is copied once."""

import copy
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from busduct._core import Lease

__all__ = ["MALFORMED", "TEXT_NBYTES", "TextJoiner", "TextSplitter"]

T = TypeVar("T")
K = TypeVar("K")

# Of shorter texts, taking them apart costs as much as it saves.
TEXT_NBYTES = 131072
# What a msgpack string can have.
MAX_TEXT_NBYTES = (1 << 32) - 1
# Values that are looked at: what has more is not one text for the most part.
MAX_LOOKED = 64
# NB: the last two are of strings that are not UTF-8, and of nesting without end.
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_STAND_IN_TYPE = 0
_STAND_IN_NBYTES = 16


class TextSplitter:
    """Encode messages as parts of which the long texts are themselves.

    An encoder copies a text into its buffer, from where it has to be copied into shared
    memory; its parts are put there as they are.
    """

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        # NB: of random bytes, as what stands for a text is found by what it looks like.
        mark = os.urandom(_STAND_IN_NBYTES)
        self._stand_in = msgspec.msgpack.Ext(_STAND_IN_TYPE, mark)
        self._separator = self._encode(self._stand_in)
        self._texts: list[str] = []
        self._num_left = 0

    def split(self, message: object) -> list[bytes | str] | None:
        """Return the parts of a message, in their order; each text is ASCII.

        None where there is no long text, or it cannot be told apart.

        Raises:
            TypeError: What msgpack cannot hold.
        """
        self._num_left = MAX_LOOKED
        rest = self._without_texts(message)
        texts, self._texts = self._texts, []
        if not texts:
            return None
        first, *others = self._encode(rest).split(self._separator)
        if len(others) != len(texts):
            return None
        parts: list[bytes | str] = [first]
        for text, after in zip(texts, others, strict=True):
            parts += (b"\xdb" + len(text).to_bytes(4, "big"), text, after)
        return parts

    def _without_texts(self, value: Any) -> Any:
        """Return a value with stand-ins for its texts; itself if it has none."""
        kind = type(value)
        if kind is str:
            return self._without_text(value)
        if kind is dict:
            changed = self._changed(value.items())
            return {**value, **changed} if changed else value
        if kind is list or kind is tuple:
            changed = self._changed(enumerate(value))
            each = enumerate(value)
            return [changed.get(i, item) for i, item in each] if changed else value
        if isinstance(value, msgspec.Struct):
            return self._without_fields(value)
        return value

    def _without_text(self, text: str) -> object:
        if not TEXT_NBYTES <= len(text) <= MAX_TEXT_NBYTES or not text.isascii():
            return text
        self._texts.append(text)
        return self._stand_in

    def _without_fields(self, value: msgspec.Struct) -> msgspec.Struct:
        names = value.__struct_fields__
        changed = self._changed((name, getattr(value, name, None)) for name in names)
        if not changed:
            return value
        # NB: a new one would be checked, and a stand-in is no text.
        value = copy.copy(value)
        for name, item in changed.items():
            msgspec.structs.force_setattr(value, name, item)
        return value

    def _changed(self, items: Iterable[tuple[K, Any]]) -> dict[K, Any]:
        """Return those of the items that have texts, without them."""
        changed = {}
        for key, item in items:
            self._num_left -= 1
            if self._num_left < 0:
                break
            if (rest := self._without_texts(item)) is not item:
                changed[key] = rest
        return changed


class TextJoiner(Generic[T]):
    """Decode messages whose long texts are taken from where they were received.

    Args:
        decoder: What tells of all others, and of what is malformed.
    """

    def __init__(self, decoder: "msgspec.msgpack.Decoder[T]") -> None:
        self._decode = decoder.decode
        self._strict, self._dec_hook = decoder.strict, decoder.dec_hook
        # A class is looked into once, a union would be each time.
        field = ("message", decoder.type)
        self._holder = msgspec.defstruct("Holder", [field], array_like=True)
        self._decode_rest = msgspec.msgpack.Decoder(ext_hook=self._text_of).decode
        self._texts: list[str] = []

    def decode(self, payload: "bytes | Lease") -> T:
        """Return the message of a payload.

        Raises:
            Exception: What the decoder raises.
        """
        if isinstance(payload, bytes):
            return self._decode(payload)
        split = payload.split_texts(TEXT_NBYTES)
        if split is None:
            return self._decode(payload)
        rest, self._texts = split
        try:
            return self._joined(rest)
        except (*MALFORMED, IndexError):
            # NB: of what a peer changes amid all this, anything may come.
            return self._decode(payload)
        finally:
            self._texts = []

    def _joined(self, rest: bytes) -> T:
        value = [self._decode_rest(rest)]
        hook, strict = self._dec_hook, self._strict
        held = msgspec.convert(value, self._holder, strict=strict, dec_hook=hook)
        message: T = held.message  # type: ignore[attr-defined]
        return message

    def _text_of(self, _code: int, number: memoryview) -> str:
        return self._texts[int.from_bytes(number, "big")]
