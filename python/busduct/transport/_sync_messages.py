"""What a subscriber asks of a publisher's replay endpoint, and the answers.

Their bytes are in docs/wire.md, "Typed publish/subscribe".
"""

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, TypeVar

import msgspec

from busduct.errors import FrameTooLargeError, MalformedFrameError, RemoteProtocolError
from busduct.transport._records import (
    MAX_TOPIC_BYTES,
    Batch,
    encode_batch,
    is_fence_topic,
)

__all__ = [
    "ALL_RECORDS",
    "MAX_PREFIXES",
    "Answer",
    "Begin",
    "SyncRequest",
    "decode_answer",
    "decode_begin",
    "decode_request",
    "encode_begin",
    "encode_end",
    "encode_records",
    "encode_request",
    "max_request_bytes",
    "new_request",
]

T = TypeVar("T")

# Of a prefix that was subscribed to before the publisher's first record of it.
ALL_RECORDS = (1 << 63) - 1
MAX_PREFIXES = 1024
_VERSION = 1
# A topic, two numbers, and what msgpack adds.
_ENTRY_BYTES = 512

_Number = Annotated[int, msgspec.Meta(ge=0)]
_Topic = Annotated[bytes, msgspec.Meta(max_length=MAX_TOPIC_BYTES)]


class SyncRequest(msgspec.Struct, frozen=True, array_like=True):
    """Ask for a fence, and for what was missed.

    Attributes:
        version: 1.
        number: Repeated in the fence and in each answer.
        epoch: The one that `positions` are of; 0 for none.
        fence: The topic of the fence.
        prefixes: Each with how many of the last records of a topic are wanted that is
            not among `positions`.
        positions: Topics, each with the number of the next record wanted.
    """

    version: int
    number: _Number
    epoch: _Number
    fence: _Topic
    prefixes: Annotated[
        list[tuple[_Topic, _Number]], msgspec.Meta(max_length=MAX_PREFIXES)
    ]
    positions: list[tuple[_Topic, _Number]]


class Begin(msgspec.Struct, frozen=True, array_like=True):
    """What the answers to come consist of.

    Attributes:
        epoch: Of the publisher.
        topics: Each with the number that its replay begins at, and the one behind its
            last record when the fence was set.
    """

    epoch: Annotated[int, msgspec.Meta(ge=1)]
    topics: list[tuple[_Topic, _Number, _Number]]


class Answer(IntEnum):
    """The kinds of answers, in the order in which they come."""

    BEGIN = 0
    RECORDS = 1
    END = 2


_HEAD = struct.Struct("!BQ")
_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(SyncRequest)
_begin_decoder = msgspec.msgpack.Decoder(Begin)


def encode_request(request: SyncRequest) -> bytes:
    """Return the one part of a request."""
    return _encoder.encode(request)


def max_request_bytes(max_topics: int) -> int:
    """Return more than a request, or the first answer to it, takes up."""
    return (max_topics + MAX_PREFIXES) * _ENTRY_BYTES


def decode_request(parts: Sequence[bytes], max_bytes: int) -> SyncRequest:
    """Return the request that a message holds.

    Raises:
        RemoteProtocolError: It holds none, or one of over `max_bytes`.
    """
    if len(parts) != 1:
        raise MalformedFrameError(0, f"request of {len(parts)} parts")
    if len(parts[0]) > max_bytes:
        raise FrameTooLargeError(len(parts[0]), max_bytes)
    request = _decode(_request_decoder, parts[0])
    if request.version != _VERSION or not is_fence_topic(request.fence):
        msg = f"request of version {request.version}, or without a topic for its fence"
        raise RemoteProtocolError(msg)
    return request


def new_request(
    number: int,
    epoch: int,
    fence: bytes,
    prefixes: Iterable[tuple[bytes, int]],
    positions: Iterable[tuple[bytes, int]],
) -> SyncRequest:
    """Return a request of this version."""
    return SyncRequest(_VERSION, number, epoch, fence, list(prefixes), list(positions))


def encode_begin(number: int, begin: Begin) -> list[bytes]:
    """Return the parts of the first answer."""
    return [_HEAD.pack(Answer.BEGIN, number), _encoder.encode(begin)]


def encode_records(number: int, batch: Batch) -> list[bytes]:
    """Return the parts of an answer that holds records."""
    return [_HEAD.pack(Answer.RECORDS, number), *encode_batch(batch)]


def encode_end(number: int) -> list[bytes]:
    """Return the parts of the last answer."""
    return [_HEAD.pack(Answer.END, number)]


def decode_answer(parts: Sequence[bytes]) -> tuple[Answer, int, Sequence[bytes]]:
    """Return the kind of an answer, the request's number, and the other parts.

    Raises:
        MalformedFrameError: It is none.
    """
    if not parts or len(parts[0]) != _HEAD.size:
        raise MalformedFrameError(0, "answer without a header")
    kind, number = _HEAD.unpack(parts[0])
    num_parts = {Answer.BEGIN: 2, Answer.RECORDS: 4, Answer.END: 1}.get(kind)
    if num_parts != len(parts):
        raise MalformedFrameError(0, f"answer of kind {kind} in {len(parts)} parts")
    return Answer(kind), number, parts[1:]


def decode_begin(data: bytes) -> Begin:
    """Return the body of the first answer.

    Raises:
        RemoteProtocolError: It is none.
    """
    return _decode(_begin_decoder, data)


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not what the replay protocol says: {error}"
        raise RemoteProtocolError(msg) from error
