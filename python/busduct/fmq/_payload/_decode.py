"""Turn the bytes and parts of a message into what its user had put into a queue.

All of it was written by a peer: it is checked before memory is taken for it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from busduct._message_types import check_message_type, decode_error, nodes_of
from busduct.errors import ConfigError, RemoteProtocolError
from busduct.fmq._payload._parts_in import PartsReader
from busduct.fmq._wire import Data, Encoding
from busduct.tensors._fields import Field, field_of
from busduct.tensors._header import Header
from busduct.tensors._tensor import Tensor

__all__ = ["PayloadDecoder"]

# NB: the attribute of an enumeration takes as long as a short message.
_BYTES, _BUFFER, _OBJECT = Encoding.BYTES, Encoding.BUFFER, Encoding.OBJECT
# What convert shall not make of strings in base64.
_BINARY = (bytes, bytearray, memoryview)


class PayloadDecoder:
    """Decode payloads, strictly: nothing is converted, left over, or used twice.

    Safe to share among threads.

    Args:
        message_type: What payloads are; Any for whatever comes.
        copy: Buffers and arrays get memory of their own, which can be written.
        views: Bytes arrive as read-only views: all that are a payload, and those within
            one that are large.
        dec_hook: As of `msgspec.msgpack.Decoder`.

    Attributes:
        gives_bytes: Whether the payload of bytes are they themselves.

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
        self.gives_bytes = self._is_any and not views
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
        if encoding is _BYTES and self.gives_bytes and type(body) is bytes:
            return body
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
        # What was received cannot be written.
        return memoryview(body)

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
