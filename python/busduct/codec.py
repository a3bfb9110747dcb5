"""Turn typed messages into bytes and back: msgpack, strict, bounded.

The three methods of `Codec` are those that mlcommons/endpoints asks of a codec, so that
one written for it works here, and `MessageCodec` works there.
"""

import re
from collections.abc import Callable
from typing import Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar

import msgspec

from busduct.errors import (
    ConfigError,
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

__all__ = ["Buffer", "Codec", "MessageCodec"]

Buffer: TypeAlias = bytes | memoryview

T = TypeVar("T")

_OFFSET = re.compile(r" ?\(byte (\d+)\)$")


class Codec(Protocol[T]):
    """What publishers, subscribers, senders and receivers ask of a codec."""

    def encode(self, item: T) -> tuple[bytes, bytes]:
        """Return the topic and the payload of a message."""
        ...

    def decode(self, payload: bytes) -> T:
        """Return the message of a payload; raise if it is none."""
        ...

    def on_decode_error(self, payload: bytes, exc: Exception) -> T | None:
        """Return what stands in for a payload that did not decode; None for nothing.

        Raising gives the error to whoever receives.
        """
        ...


class MessageCodec(Generic[T]):
    """Encode and decode the messages of one type as msgpack.

    Decoding is strict: no value is converted, nothing may follow the message, and
    extension types are refused except the timestamp of an aware `datetime`. Fields
    typed `memoryview` are views of the payload, which they keep alive; `bytes` fields
    are copies.

    A message is encoded into bytes of its own: what is sent is held until it has gone,
    so that a buffer for many messages would have to be copied once more.

    Args:
        message_type: Any type that msgspec knows; a `Struct`, a union of tagged ones.
        topic: The topic of every message, or what gives the topic of one.
        max_message_bytes: Payloads over it are refused, both ways.
        enc_hook: As of `msgspec.msgpack.Encoder`, for types that it does not know.
        dec_hook: As of `msgspec.msgpack.Decoder`.

    Raises:
        ConfigError: A limit below 1, or a type that holds `msgspec.msgpack.Ext`.
    """

    def __init__(
        self,
        message_type: type[T],
        *,
        topic: str | bytes | Callable[[T], str | bytes] = b"",
        max_message_bytes: int = 64 << 20,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
    ) -> None:
        if max_message_bytes < 1:
            msg = f"max_message_bytes is {max_message_bytes}; it is at least 1"
            raise ConfigError(msg)
        if _holds_extensions(message_type):
            msg = f"{message_type} holds an extension type, which could be anything"
            raise ConfigError(msg)
        self._encoder = msgspec.msgpack.Encoder(enc_hook=enc_hook)
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(
            message_type, strict=True, dec_hook=dec_hook, ext_hook=_refuse_extension
        )
        self._max_message_bytes = max_message_bytes
        self._name = getattr(message_type, "__name__", str(message_type))
        self._topic_of = topic if callable(topic) else None
        self._topic = b"" if callable(topic) else _as_bytes(topic)

    def encode(self, item: T) -> tuple[bytes, bytes]:
        """Return the topic and the payload of a message.

        Raises:
            FrameTooLargeError: The payload is over `max_message_bytes`.
            TypeError: A value that msgpack cannot hold.
        """
        payload = self._encoder.encode(item)
        if len(payload) > self._max_message_bytes:
            raise FrameTooLargeError(len(payload), self._max_message_bytes)
        if self._topic_of is None:
            return self._topic, payload
        return _as_bytes(self._topic_of(item)), payload

    def decode(self, payload: Buffer) -> T:
        """Return the message of a payload.

        Raises:
            FrameTooLargeError: The payload is over `max_message_bytes`.
            MalformedFrameError: It is not one msgpack value; the offset is that in it.
            RemoteProtocolError: It is one, of another type.
        """
        nbytes = len(payload)
        if nbytes > self._max_message_bytes:
            raise FrameTooLargeError(nbytes, self._max_message_bytes)
        try:
            return self._decoder.decode(payload)
        except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
            # NB: msgspec lets the last two through, for strings that are not UTF-8 and
            # for nesting without end.
            msg = f"payload is not a {self._name}: {error}"
            raise RemoteProtocolError(msg) from error
        except msgspec.DecodeError as error:
            raise _malformed(str(error), nbytes) from error

    def on_decode_error(self, payload: Buffer, exc: Exception) -> T | None:
        """Return None: what a peer sent wrong is dropped, and counted by the receiver.

        Raises:
            Exception: `exc`, when it is not the peer's doing, such as a bug in a hook.
        """
        if not isinstance(exc, RemoteProtocolError):
            raise exc
        return None


def _as_bytes(topic: str | bytes) -> bytes:
    return topic.encode() if isinstance(topic, str) else topic


def _malformed(text: str, nbytes: int) -> MalformedFrameError:
    found = _OFFSET.search(text)
    # Without an offset, it is the end that came too early.
    offset = int(found.group(1)) if found else nbytes
    return MalformedFrameError(offset, _OFFSET.sub("", text))


def _refuse_extension(code: int, _data: memoryview) -> NoReturn:
    msg = f"extension type {code} is refused"
    raise RemoteProtocolError(msg)


def _holds_extensions(message_type: Any) -> bool:
    """Tell whether a type has `Ext` anywhere in it; types may refer to themselves."""
    seen: set[int] = set()
    nodes: list[Any] = [msgspec.inspect.type_info(message_type)]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, msgspec.inspect.ExtType):
            return True
        if isinstance(node, tuple | list):
            nodes.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
            nodes.extend(getattr(node, name) for name in node.__struct_fields__)
    return False
