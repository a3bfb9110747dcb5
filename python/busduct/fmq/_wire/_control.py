"""All that is said on a connection but the messages of the queue."""

import struct
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from busduct.errors import (
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

__all__ = [
    "GOODBYE",
    "HELLO",
    "ID_BYTES",
    "VERSION",
    "Ack",
    "Adopted",
    "Goodbye",
    "Hello",
    "Nack",
    "Refusal",
    "Welcome",
    "encode_control",
    "parse_from_consumer",
    "parse_hello",
]

VERSION = 1
ID_BYTES = 16

# The name of a queue, and a few numbers.
_MAX_CONTROL_BYTES = 65536
# Far more than what anybody has not acknowledged; as objects they take five times it.
_MAX_NUMBERS_BYTES = 8 << 20

_Id: TypeAlias = Annotated[
    bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)
]
_Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

HELLO, GOODBYE = 1, 3
_WELCOME, _REFUSAL, _ACK, _NACK, _ADOPTED = 16, 17, 18, 19, 20


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first thing that a producer says."""

    version: int
    queue: str
    producer_id: _Id


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """A consumer's answer: how much may be sent ahead of acknowledgements.

    Attributes:
        version: Of what is said here.
        consumer_id: Of the consumer.
        prefetch_messages: So many at most.
        prefetch_bytes: The next one only while there are fewer.
        max_message_bytes: Of one message, body and parts, at most.
    """

    version: int
    consumer_id: _Id
    prefetch_messages: _Positive
    prefetch_bytes: _Positive
    max_message_bytes: _Positive


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A consumer's other answer."""

    version: int
    reason: str


class Ack(NamedTuple):
    """What a consumer is done with, by the number of the message on this connection.

    Attributes:
        upto: All below it are done.
        others: And these.
    """

    upto: int
    others: tuple[int, ...]


class Nack(NamedTuple):
    """What a consumer gives back, by the number of the message on this connection."""

    numbers: tuple[int, ...]


class Goodbye(NamedTuple):
    """What a producer says that wants to end: the consumer shall own what it has."""


class Adopted(NamedTuple):
    """The answer: nobody else will deliver what came before the goodbye.

    Attributes:
        upto: Messages with numbers below it are the consumer's.
    """

    upto: int


T = TypeVar("T")

_Answer: TypeAlias = Welcome | Refusal | Ack | Nack | Adopted
_Control: TypeAlias = Hello | Goodbye | _Answer
_STRUCTS = {Hello: HELLO, Welcome: _WELCOME, Refusal: _REFUSAL}
_encoder = msgspec.msgpack.Encoder()
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)
_refusal = msgspec.msgpack.Decoder(Refusal)


def encode_control(message: _Control) -> bytes:
    """Return the one part of anything but a message of the queue."""
    match message:
        case Ack(upto, others):
            return _encode_numbers(_ACK, (upto, *others))
        case Nack(numbers):
            return _encode_numbers(_NACK, numbers)
        case Adopted():
            return _encode_numbers(_ADOPTED, message)
        case Goodbye():
            return bytes((GOODBYE,))
        case _:
            return bytes((_STRUCTS[type(message)],)) + _encoder.encode(message)


def parse_hello(first: memoryview) -> Hello:
    """Return the first thing that a producer said.

    Raises:
        RemoteProtocolError: It is something else.
    """
    return _parse(_hello, first)


def parse_from_consumer(parts: Sequence[Any]) -> _Answer:
    """Return what a consumer said.

    Raises:
        RemoteProtocolError: It is nothing that a consumer says.
    """
    first = memoryview(parts[0])
    kind = first[0] if first.nbytes else -1
    if len(parts) == 1:
        if kind == _ACK:
            upto, *others = _parse_numbers(first)
            return Ack(upto, tuple(others))
        if kind == _NACK:
            return Nack(_parse_numbers(first))
        if kind == _WELCOME:
            return _parse(_welcome, first)
        if kind == _REFUSAL:
            return _parse(_refusal, first)
        if kind == _ADOPTED:
            return _parse_adopted(first)
    msg = f"kind {kind} in {len(parts)} parts is nothing that a consumer says"
    raise RemoteProtocolError(msg)


def _encode_numbers(kind: int, numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<B{len(numbers)}Q", kind, *numbers)


def _parse_numbers(first: memoryview) -> tuple[int, ...]:
    if first.nbytes > _MAX_NUMBERS_BYTES:
        raise FrameTooLargeError(first.nbytes, _MAX_NUMBERS_BYTES)
    count, rest = divmod(first.nbytes - 1, 8)
    if rest or not count:
        raise MalformedFrameError(first.nbytes, "not a list of numbers")
    return struct.unpack_from(f"<{count}Q", first, 1)


def _parse_adopted(first: memoryview) -> Adopted:
    numbers = _parse_numbers(first)
    if len(numbers) != 1:
        raise MalformedFrameError(first.nbytes, "not one number")
    return Adopted(*numbers)


def _parse(decoder: msgspec.msgpack.Decoder[T], first: memoryview) -> T:
    if first.nbytes > _MAX_CONTROL_BYTES:
        raise FrameTooLargeError(first.nbytes, _MAX_CONTROL_BYTES)
    try:
        return decoder.decode(first[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not what it says to be: {error}"
        raise RemoteProtocolError(msg) from error
