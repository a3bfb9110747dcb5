"""Turn typed messages into bytes and back: msgpack, strict, bounded.

The three methods of `Codec` are those that mlcommons/endpoints asks of a codec, so that
one written for it works here, and `MessageCodec` works there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar

import msgspec

from busduct._message_types import check_message_type, decode_error, nodes_of
from busduct.errors import ConfigError, FrameTooLargeError, RemoteProtocolError
from busduct.tensors._hooks import Inbox, Outbox, TensorHooks

__all__ = ["Buffer", "Codec", "MessageCodec", "PartsCodec"]

Buffer: TypeAlias = bytes | memoryview

T = TypeVar("T")


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


class PartsCodec(Codec[T], Protocol[T]):
    """What a codec has besides, to send arrays as parts of their own."""

    @property
    def holds_tensors(self) -> bool:
        """Whether there may be any."""
        ...

    def encode_parts(self, item: T, loan: Callable[[int], Any]) -> list[Any]:
        """Return the parts of a message; `loan` lends memory to fill and send."""
        ...

    def decode_parts(self, parts: Sequence[Any], *, copy: bool = False) -> T:
        """Return the message of the parts, as views of them or as copies."""
        ...


class MessageCodec(Generic[T]):
    """Encode and decode the messages of one type as msgpack.

    Decoding is strict: no value is converted, nothing may follow the message, and
    extension types are refused except the timestamp of an aware `datetime`. Fields
    typed `memoryview` are views of the payload, which they keep alive; `bytes` fields
    are copies.

    Fields typed `numpy.ndarray`, `busduct.tensors.Tensor`, `torch.Tensor` and
    `jax.Array` hold arrays (docs/tensors.md): `encode_parts` puts those from 512 bytes
    on into parts of their own, `encode` puts all into the payload.

    A message is encoded into bytes of its own: what is sent is held until it has gone,
    so that a buffer for many messages would have to be copied once more.

    Args:
        message_type: Any type that msgspec knows; a `Struct`, a union of tagged ones.
        topic: The topic of every message, or what gives the topic of one.
        max_message_bytes: Payloads over it are refused, both ways; the other parts are
            the socket's to bound.
        enc_hook: As of `msgspec.msgpack.Encoder`, for types that it does not know.
        dec_hook: As of `msgspec.msgpack.Decoder`.

    Raises:
        ConfigError: A limit below 1, a type that holds `msgspec.msgpack.Ext`, or one
            of an array that cannot be checked.
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
        self._hooks: TensorHooks | None = None
        if check_message_type(message_type, nodes_of(message_type)):
            self._hooks = TensorHooks(enc_hook, dec_hook)
            enc_hook, dec_hook = self._hooks.encode, self._hooks.decode
        self._encoder = msgspec.msgpack.Encoder(enc_hook=enc_hook)
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(
            message_type, strict=True, dec_hook=dec_hook, ext_hook=_refuse_extension
        )
        self._max_message_bytes = max_message_bytes
        self._name = getattr(message_type, "__name__", str(message_type))
        self._topic_of = topic if callable(topic) else None
        self._topic = b"" if callable(topic) else _as_bytes(topic)

    @property
    def holds_tensors(self) -> bool:
        """Whether messages of the type may have arrays."""
        return self._hooks is not None

    def encode(self, item: T) -> tuple[bytes, bytes]:
        """Return the topic and the payload of a message.

        Raises:
            FrameTooLargeError: The payload is over `max_message_bytes`.
            TypeError: A value that msgpack cannot hold; an array on a device, or of a
                type that is not in `busduct.tensors.DTYPES`.
        """
        payload = self._encoder.encode(item)
        if len(payload) > self._max_message_bytes:
            raise FrameTooLargeError(len(payload), self._max_message_bytes)
        if self._topic_of is None:
            return self._topic, payload
        return _as_bytes(self._topic_of(item)), payload

    def encode_parts(self, item: T, loan: Callable[[int], Any]) -> list[Any]:
        """Return the payload, and the arrays as further parts, each copied once.

        What is a `Tensor` over a loan, a lease or bytes is not copied.

        Args:
            item: The message.
            loan: Lends memory of so many bytes, such as `Socket.loan`.

        Raises:
            FrameTooLargeError: The payload is over `max_message_bytes`.
            TypeError: As of `encode`.
        """
        if self._hooks is None:
            return [self.encode(item)[1]]
        current = self._hooks.current
        before, current.outbox = current.outbox, Outbox(loan)
        try:
            payload = self.encode(item)[1]
            return [payload, *current.outbox.parts]
        finally:
            current.outbox = before

    def decode_parts(self, parts: Sequence[Any], *, copy: bool = False) -> T:
        """Return the message of a payload and the parts that follow it.

        Args:
            parts: Buffers; leases among them live as long as an array that is a view.
            copy: Give arrays memory of their own, and let go of the parts.

        Raises:
            FrameTooLargeError: As of `decode`.
            MalformedFrameError: As of `decode`.
            RemoteProtocolError: As of `decode`; an array does not fit its field, or its
                part.
        """
        payload = parts[0] if type(parts[0]) is bytes else parts[0].tobytes()
        if self._hooks is None:
            return self.decode(payload)
        current = self._hooks.current
        before, current.inbox = current.inbox, Inbox(parts[1:], copy=copy)
        try:
            return self.decode(payload)
        finally:
            current.inbox = before

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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # NB: msgspec lets the last two through, for strings that are not UTF-8 and
            # for nesting without end.
            raise decode_error(error, self._name, nbytes) from error

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


def _refuse_extension(code: int, _data: memoryview) -> NoReturn:
    msg = f"extension type {code} is refused"
    raise RemoteProtocolError(msg)
