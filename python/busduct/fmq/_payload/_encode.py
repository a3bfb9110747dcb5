"""Turn what users put into a queue into bytes and parts."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, inspect

from busduct._message_types import nodes_of
from busduct.errors import FrameTooLargeError
from busduct.fmq._payload._errors import payload_error
from busduct.fmq._payload._lent import is_lent
from busduct.fmq._payload._parts_out import (
    LARGE_BYTES,
    SCALARS,
    PartsWriter,
    UnencodableError,
    fields_of,
    frozen_copy,
    is_long_and_flat,
)
from busduct.fmq._wire import Encoded, Encoding

if TYPE_CHECKING:
    from busduct._core import Loan

__all__ = ["encode", "encode_bytes"]

# NB: the attribute of an enumeration takes as long as a short message.
_BYTES, _BUFFER, _OBJECT = Encoding.BYTES, Encoding.BUFFER, Encoding.OBJECT
# How many containers are looked at before a payload is taken for plain msgpack.
_NUM_LOOKED_AT = 32
_CONTAINERS = (dict, list, tuple, Struct)
# What may be large, or be an array.
_NOT_PLAIN = (
    inspect.AnyType,
    inspect.BytesType,
    inspect.ByteArrayType,
    inspect.CustomType,
    inspect.ExtType,
    inspect.MemoryViewType,
    inspect.RawType,
)
_UNENCODABLE = (
    UnencodableError,
    TypeError,
    OverflowError,
    UnicodeEncodeError,
    RecursionError,
    # Longer than msgpack can say.
    msgspec.EncodeError,
)


def encode(
    data: Any,
    *,
    threshold: int,
    loan: "Callable[[int], Loan]",
    max_bytes: int,
    enc_hook: Callable[[Any], Any] | None = None,
) -> Encoded:
    """Return a payload that can be sent, and sent again.

    `bytes` are held; a loan is given up, and not copied. Of all else that may change
    there is a copy, in memory of `loan` where it is large.

    Args:
        data: Bytes, a buffer, or what msgpack holds, with arrays anywhere in it.
        threshold: Bytes from which on it counts as large.
        loan: Lends memory to be filled and sent.
        max_bytes: Of the whole.
        enc_hook: As of `msgspec.msgpack.Encoder`, for types that it does not know.

    Raises:
        PayloadError: There is something in it that cannot be sent.
        FrameTooLargeError: It is over `max_bytes`.
        BufferError: A loan in it is still viewed.
        ClosedError: A loan or a lease in it was released.
        ImportError: An array in it needs numpy, which is not installed.
    """
    kind = type(data)
    if kind is bytes:
        return encode_bytes(data, threshold, max_bytes)
    try:
        num_left = _look(data, _NUM_LOOKED_AT)
        if num_left < 0 and _is_buffer(data):
            return _encode_buffer(data, threshold, loan, max_bytes)
        plain = _encode_plain(data) if num_left >= 0 else None
        if plain is not None and (num_left or len(plain) < LARGE_BYTES):
            return _encoded(_OBJECT, plain, threshold, max_bytes)
        writer = PartsWriter(loan, max_bytes, enc_hook)
        placed = writer.place(data)
        if plain is not None and placed is data:
            return _encoded(_OBJECT, plain, threshold, max_bytes)
        body, parts, nbytes = writer.encode(placed)
    except _UNENCODABLE as error:
        raise payload_error(data, error) from error
    return Encoded(_OBJECT, body, parts, nbytes, nbytes >= threshold)


def encode_bytes(data: bytes, threshold: int, max_bytes: int) -> Encoded:
    """Return bytes as a payload, as `encode`.

    Raises:
        FrameTooLargeError: They are over `max_bytes`.
    """
    nbytes = len(data)
    if nbytes > max_bytes:
        raise FrameTooLargeError(nbytes, max_bytes)
    return Encoded(_BYTES, data, (), nbytes, nbytes >= threshold)


def _encoded(encoding: Encoding, body: bytes, threshold: int, limit: int) -> Encoded:
    nbytes = len(body)
    if nbytes > limit:
        raise FrameTooLargeError(nbytes, limit)
    return Encoded(encoding, body, (), nbytes, nbytes >= threshold)


def _encode_buffer(
    data: Any, threshold: int, loan: "Callable[[int], Loan]", max_bytes: int
) -> Encoded:
    # NB: what was released says so by its length.
    nbytes = len(data) if is_lent(data) else memoryview(data).nbytes
    if nbytes > max_bytes:
        raise FrameTooLargeError(nbytes, max_bytes)
    body = frozen_copy(data, loan)
    return Encoded(_BUFFER, body, (), nbytes, nbytes >= threshold)


class _ForeignError(Exception):
    """It is not plain msgpack."""


def _raise_foreign(_value: Any) -> Any:
    raise _ForeignError


_plain_encoder = msgspec.msgpack.Encoder(enc_hook=_raise_foreign)


def _encode_plain(data: Any) -> bytes | None:
    """Return msgpack; None if there is something in it that msgspec does not know."""
    try:
        return _plain_encoder.encode(data)
    except _ForeignError:
        return None


def _look(value: Any, num_left: int) -> int:
    """Look for what is better not in msgpack, and not for long.

    Returns:
        How many containers are still to be looked at; -1 if it was found.
    """
    kind: Any = type(value)
    if kind is dict:
        items = value.values()
    elif kind is list or kind is tuple:
        items = () if is_long_and_flat(value) else value
    elif kind is bytes or kind in SCALARS:
        is_small = kind is not bytes or len(value) < LARGE_BYTES
        return num_left if is_small else -1
    elif _is_plain_type(kind):
        return num_left
    else:
        fields = fields_of(value)
        if fields is None:
            return -1
        items = fields.values()
    for item in items:
        if type(item) in SCALARS:
            continue
        if num_left <= 0:
            break
        num_left = _look(item, num_left - 1)
        if num_left < 0:
            break
    return num_left


@lru_cache(maxsize=1024)
def _is_plain_type(kind: Any) -> bool:
    """Tell whether all that a class may hold, as it says, belongs into msgpack.

    One that holds something else is still sent, if not in the cheapest way.
    """
    try:
        return not any(isinstance(node, _NOT_PLAIN) for node in nodes_of(kind))
    except (TypeError, NameError):
        # It is no type that msgspec knows, or names one that cannot be found.
        return False


def _is_buffer(data: Any) -> bool:
    """Tell whether it is sent as a buffer: it has one, and is no array."""
    if isinstance(data, _CONTAINERS):
        return False
    if is_lent(data):
        return True
    if hasattr(data, "__dlpack__"):
        return False
    try:
        memoryview(data)
    except TypeError:
        return False
    return True
