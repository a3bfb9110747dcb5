"""Turn what users put into a queue into bytes and parts, and back.

docs/wire.md, "Payloads of queues". Whatever comes was written by a peer: it is checked
before memory is taken for it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from busduct._message_types import check_message_type, decode_error, nodes_of
from busduct.errors import ConfigError, FrameTooLargeError, RemoteProtocolError
from busduct.fmq._lent import is_lent
from busduct.fmq._parts_in import PartsReader
from busduct.fmq._parts_out import (
    LARGE_BYTES,
    SCALARS,
    PartsWriter,
    UnencodableError,
    frozen_copy,
    is_long_and_flat,
)
from busduct.fmq._payload_errors import payload_error
from busduct.fmq._wire import Data, Encoded, Encoding
from busduct.tensors._fields import Field, field_of
from busduct.tensors._header import Header
from busduct.tensors._tensor import Tensor

if TYPE_CHECKING:
    from busduct._core import Loan

__all__ = ["PayloadDecoder", "encode"]

# NB: the attribute of an enumeration takes as long as a short message.
_BYTES, _BUFFER, _OBJECT = Encoding.BYTES, Encoding.BUFFER, Encoding.OBJECT
# How many containers are looked at before a payload is taken for plain msgpack.
_NUM_LOOKED_AT = 32
_UNENCODABLE = (
    UnencodableError,
    TypeError,
    OverflowError,
    UnicodeEncodeError,
    RecursionError,
)
# What convert does not make of strings in base64.
_BINARY = (bytes, bytearray, memoryview)


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
        return _encoded(_BYTES, data, threshold, max_bytes)
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


class PayloadDecoder:
    """Decode payloads, strictly: nothing is converted, left over, or used twice.

    Safe to share among threads.

    Args:
        message_type: What payloads are; Any for whatever comes.
        copy: Buffers and arrays get memory of their own, which can be written.
        views: Bytes arrive as read-only views: all that are a payload, and those within
            one that are large.
        dec_hook: As of `msgspec.msgpack.Decoder`.

    Raises:
        ConfigError: A type that holds `msgspec.msgpack.Ext`, or one of an array that
            cannot be checked.
    """

    def __init__(
        self,
        message_type: Any = Any,
        *,
        copy: bool = False,
        views: bool = False,
        dec_hook: Callable[[type, Any], Any] | None = None,
    ) -> None:
        nodes = list(nodes_of(message_type))
        check_message_type(message_type, nodes)
        self._type = message_type
        self._name = getattr(message_type, "__name__", str(message_type))
        self._is_any = message_type is Any
        self._copy = copy
        self._views = views
        # A field that takes a view shall not be given one of a copy.
        self._views_in_parts = views or _has_only_views(nodes)
        self._dec_hook = dec_hook
        self._fields: dict[Any, tuple[Any, Field | None]] = {}
        self._decode = msgspec.msgpack.Decoder(
            message_type,
            strict=True,
            dec_hook=self._decode_custom,
            ext_hook=PartsReader((), copy=copy, views=views).read,
        ).decode

    def __call__(self, data: Data) -> Any:
        """Return the payload of a message.

        Raises:
            MalformedFrameError: It is not one msgpack value.
            RemoteProtocolError: It is one of another type, or refers to what is not
                there.
        """
        encoding, body = data.encoding, data.body
        if encoding is not _OBJECT:
            payload = self._payload_of(encoding, body)
            return payload if self._is_any else self._convert(payload)
        # NB: not from shared memory, which its writer could change meanwhile.
        packed = body if type(body) is bytes else body.tobytes()
        if data.parts:
            return self._decode_with_parts(packed, data)
        try:
            return self._decode(packed)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error, self._name, len(packed)) from error

    def _payload_of(self, encoding: Encoding, body: Any) -> Any:
        if encoding is _BYTES and not self._views:
            return body if type(body) is bytes else body.tobytes()
        if encoding is _BUFFER and self._copy:
            return bytearray(body)
        return memoryview(body).toreadonly()

    def _decode_with_parts(self, packed: bytes, data: Data) -> Any:
        reader = PartsReader(data.parts, copy=self._copy, views=self._views_in_parts)
        try:
            value = msgspec.msgpack.Decoder(ext_hook=reader.read).decode(packed)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error, self._name, len(packed)) from error
        reader.finish()
        return value if self._is_any else self._convert(value)

    def _convert(self, value: Any) -> Any:
        try:
            return msgspec.convert(
                value,
                self._type,
                strict=True,
                dec_hook=self._decode_custom,
                builtin_types=_BINARY,
            )
        except (msgspec.ValidationError, RecursionError) as error:
            msg = f"payload is not a {self._name}: {error}"
            raise RemoteProtocolError(msg) from error

    def _decode_custom(self, kind: Any, value: Any) -> Any:
        """Be the hook of msgspec for types that it does not know."""
        field = self._field_of(kind)
        if field is not None:
            return _fitted(field, value)
        # msgspec checks what is returned.
        return value if self._dec_hook is None else self._dec_hook(kind, value)

    def _field_of(self, kind: Any) -> Field | None:
        # NB: by identity: the hash of a generic type takes longer than the rest. The
        # type is kept, so that no other gets its address.
        try:
            return self._fields[id(kind)][1]
        except KeyError:
            return self._fields.setdefault(id(kind), (kind, field_of(kind)))[1]


def _encoded(encoding: Encoding, body: bytes, threshold: int, limit: int) -> Encoded:
    nbytes = len(body)
    if nbytes > limit:
        raise FrameTooLargeError(nbytes, limit)
    # NB: half the time of the class's own, which matters to short messages.
    return tuple.__new__(Encoded, (encoding, body, (), nbytes, nbytes >= threshold))


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
    kind = type(value)
    if kind is dict:
        items = value.values()
    elif kind is list or kind is tuple:
        if is_long_and_flat(value):
            return num_left
        items = value
    elif kind is bytes:
        return num_left if len(value) < LARGE_BYTES else -1
    elif isinstance(value, msgspec.Struct):
        items = [getattr(value, name) for name in value.__struct_fields__]
    else:
        return num_left if kind in SCALARS else -1
    for item in items:
        if type(item) in SCALARS:
            continue
        if num_left <= 0:
            return 0
        num_left = _look(item, num_left - 1)
        if num_left < 0:
            return -1
    return num_left


def _is_buffer(data: Any) -> bool:
    """Tell whether it is sent as a buffer: it has one, and is no array."""
    if is_lent(data):
        return True
    if hasattr(data, "__dlpack__") or isinstance(data, dict | list | tuple):
        return False
    try:
        memoryview(data)
    except TypeError:
        return False
    return True


def _has_only_views(nodes: list[Any]) -> bool:
    has_views = any(isinstance(node, msgspec.inspect.MemoryViewType) for node in nodes)
    has_any = any(isinstance(node, msgspec.inspect.AnyType) for node in nodes)
    return has_views and not has_any


def _fitted(field: Field, value: Any) -> Any:
    """Return an array that was received as what the field is of.

    Raises:
        ConfigError: It is no array, or not one that the field takes.
    """
    try:
        tensor = value if isinstance(value, Tensor) else Tensor.from_array(value)
    except TypeError as error:
        msg = f"{type(value).__name__} where an array is due"
        raise ConfigError(msg) from error
    header = Header(tensor._dtype, tensor.shape, tensor.nbytes, 0)
    field.check(header)
    try:
        return field.make(tensor.storage, header, False)
    except (ImportError, BufferError, RuntimeError) as error:
        # The peer chose a type that the library here does not know.
        raise ConfigError(str(error)) from error
