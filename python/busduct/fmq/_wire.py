"""What producers and consumers of a queue say to each other, as bytes.

docs/wire.md, "FMQ". A producer's DEALER connects to a consumer's ROUTER. Everything
that a peer says is checked here, before anybody acts on it.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from busduct.errors import (
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

__all__ = [
    "HEADER_BYTES",
    "ID_BYTES",
    "INLINE_BYTES",
    "VERSION",
    "Ack",
    "Adopted",
    "Data",
    "Encoded",
    "Encoding",
    "Goodbye",
    "Hello",
    "Nack",
    "Refusal",
    "Welcome",
    "data_parts",
    "encode_control",
    "pack_data",
    "parse_from_consumer",
    "parse_from_producer",
]

VERSION = 1
ID_BYTES = 16
# A body below this joins its header in one part: cheaper than two, and never lent.
INLINE_BYTES = 16384

# The name of a queue, and a few numbers.
_MAX_CONTROL_BYTES = 65536
# Far more than what anybody has not acknowledged; as objects they take five times it.
_MAX_NUMBERS_BYTES = 8 << 20

_Id: TypeAlias = Annotated[
    bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)
]
_Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

_HELLO, _DATA, _GOODBYE = 1, 2, 3
_WELCOME, _REFUSAL, _ACK, _NACK, _ADOPTED = 16, 17, 18, 19, 20

# Kind, encoding, flags, deliveries, message id, timestamp, messages dropped.
_HEADER = struct.Struct("<BBHIQdQ")
HEADER_BYTES = _HEADER.size
_pack = _HEADER.pack
_unpack = _HEADER.unpack_from
_IS_INLINE, _IS_LARGE = 1, 2


class Encoding(IntEnum):
    """What the body of a message is."""

    BYTES = 0
    BUFFER = 1
    OBJECT = 2


# Looking a member of an enumeration up costs as much as all else about a message.
_ENCODINGS = tuple(Encoding)
_OBJECT = int(Encoding.OBJECT)


class Encoded(NamedTuple):
    """A payload that can be sent, and sent again.

    Attributes:
        encoding: What the body is.
        body: The payload itself, or its msgpack.
        parts: What the msgpack refers to by number, from 1.
        nbytes: Of the body and the parts.
        is_large: At or over the `shm_threshold` of its `put`.
    """

    encoding: Encoding
    body: Any
    parts: tuple[Any, ...]
    nbytes: int
    is_large: bool


class Data(NamedTuple):
    """A message as it came; body and parts are leases or bytes."""

    encoding: Encoding
    is_large: bool
    num_deliveries: int
    msg_id: int
    timestamp: float
    num_skipped: int
    body: Any
    parts: Sequence[Any]


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first thing that a producer says."""

    version: int
    queue: str
    producer_id: _Id


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """A consumer's answer: how much may be sent ahead of acknowledgements.

    And how large, in bytes of the body and the parts, one message may be.
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

_Said: TypeAlias = Hello | Data | Goodbye
_Answer: TypeAlias = Welcome | Refusal | Ack | Nack | Adopted
_Control: TypeAlias = Hello | Goodbye | _Answer
_STRUCTS = {Hello: _HELLO, Welcome: _WELCOME, Refusal: _REFUSAL}
_encoder = msgspec.msgpack.Encoder()
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)
_refusal = msgspec.msgpack.Decoder(Refusal)


def data_parts(
    encoded: Encoded,
    *,
    msg_id: int,
    timestamp: float,
    num_deliveries: int,
    num_skipped: int,
) -> list[Any]:
    """Return the parts of a message to be sent.

    Args:
        encoded: The payload.
        msg_id: Of the message, at its producer.
        timestamp: Seconds since the epoch at which it was put.
        num_deliveries: How often it has been sent, this time included.
        num_skipped: Messages that its producer has dropped so far.
    """
    packed = pack_data(encoded, msg_id, timestamp, num_deliveries, num_skipped)
    return [packed] if type(packed) is bytes else list(packed)


def pack_data(
    encoded: Encoded,
    msg_id: int,
    timestamp: float,
    num_deliveries: int,
    num_skipped: int,
) -> bytes | list[Any]:
    """Return what `data_parts` does, or the only part where there is one."""
    encoding, body, parts, _, is_large = encoded
    is_inline = type(body) is bytes and len(body) < INLINE_BYTES
    flags = _IS_INLINE if is_inline else 0
    if is_large:
        flags |= _IS_LARGE
    # NB: spelled out: unpacking half of them into the call takes as long as the rest.
    header = _pack(
        _DATA, encoding, flags, num_deliveries, msg_id, timestamp, num_skipped
    )
    if not is_inline:
        return [header, body, *parts]
    return [header + body, *parts] if parts else header + body


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
            return bytes((_GOODBYE,))
        case _:
            return bytes((_STRUCTS[type(message)],)) + _encoder.encode(message)


def parse_from_producer(parts: Sequence[Any]) -> _Said:
    """Return what a producer said.

    Args:
        parts: Leases or bytes, without the routing id.

    Raises:
        RemoteProtocolError: It is nothing that a producer says.
    """
    head = parts[0]
    if len(head) >= HEADER_BYTES:
        if type(head) is not bytes and len(head) < HEADER_BYTES + INLINE_BYTES:
            # NB: a part so small is `bytes` already, which are read in half the time.
            head = head.tobytes()
        header = _unpack(head)
        if header[0] == _DATA:
            return _parse_data(header, head, parts)
    first = memoryview(head)
    kind = first[0] if first.nbytes else -1
    if kind == _HELLO and len(parts) == 1:
        return _parse(_hello, first)
    if kind == _GOODBYE and first.nbytes == 1 and len(parts) == 1:
        return Goodbye()
    if kind == _DATA:
        raise MalformedFrameError(first.nbytes, "header of a message ends early")
    msg = f"kind {kind} in {len(parts)} parts is nothing that a producer says"
    raise RemoteProtocolError(msg)


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


def _parse_data(header: tuple[Any, ...], head: Any, parts: Sequence[Any]) -> Data:
    _, encoding, flags, num_deliveries, msg_id, timestamp, num_skipped = header
    if encoding >= len(_ENCODINGS) or flags > (_IS_INLINE | _IS_LARGE):
        msg = f"encoding {encoding} with flags {flags} is unknown"
        raise RemoteProtocolError(msg)
    if flags & _IS_INLINE:
        rest = head if type(head) is bytes else memoryview(head)
        body, others = bytes(rest[HEADER_BYTES:]), parts[1:]
    elif len(head) == HEADER_BYTES and len(parts) > 1:
        body, others = parts[1], parts[2:]
    else:
        raise MalformedFrameError(len(head), "message without a body")
    if others and encoding != _OBJECT:
        msg = f"{len(others)} parts beyond the body"
        raise RemoteProtocolError(msg)
    # NB: what `Data(...)` does, in half the time.
    return tuple.__new__(
        Data,
        (
            _ENCODINGS[encoding],
            flags & _IS_LARGE != 0,
            num_deliveries,
            msg_id,
            timestamp,
            num_skipped,
            body,
            others,
        ),
    )


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
