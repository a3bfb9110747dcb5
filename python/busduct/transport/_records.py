"""The bytes of published batches (docs/wire.md, "Typed publish/subscribe")."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from busduct.errors import ConfigError, MalformedFrameError

__all__ = [
    "MAX_BATCH",
    "MAX_TOPIC_BYTES",
    "PRESENCE_TOPIC",
    "Batch",
    "Fence",
    "check_topic",
    "decode_published",
    "encode_batch",
    "encode_fence",
    "fence_topic",
    "is_fence_topic",
]

MAX_TOPIC_BYTES = 255
MAX_BATCH = 65536
# No text in UTF-8 has this byte, so that no topic of text begins with it.
RESERVED = b"\xff"
# NB: it sorts and comes behind all topics: whoever holds it holds them already.
PRESENCE_TOPIC = RESERVED + b"busduct"
_FENCE_PREFIX = RESERVED + b"fence"

_VERSION = 1
_RECORDS, _FENCE = 0, 1
_HEAD = struct.Struct("!BBHQQI")
_MAX_SEQUENCE = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic with sequence numbers that follow one another.

    Attributes:
        topic: Of all of them.
        epoch: Names the life of the publisher that numbered them.
        first: The sequence number of the first.
        payloads: At least one.
    """

    topic: bytes
    epoch: int
    first: int
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Fence:
    """A mark in the live stream: what was published before it has come before it.

    Attributes:
        topic: Known to one subscriber alone.
        epoch: Of the publisher.
        number: Of the request that it answers.
    """

    topic: bytes
    epoch: int
    number: int


def check_topic(topic: bytes | str) -> bytes:
    """Return a topic, or a prefix of topics, as bytes.

    Raises:
        ConfigError: Over 255 bytes, or it begins with FF.
    """
    data = topic.encode() if isinstance(topic, str) else bytes(topic)
    if len(data) > MAX_TOPIC_BYTES:
        msg = f"topic of {len(data)} bytes exceeds limit of {MAX_TOPIC_BYTES} bytes"
        raise ConfigError(msg)
    if data.startswith(RESERVED):
        msg = f"topic {data!r} begins with FF, which is reserved"
        raise ConfigError(msg)
    return data


def fence_topic(token: bytes) -> bytes:
    """Return the topic of the fences of whoever drew these random bytes."""
    return _FENCE_PREFIX + token


def is_fence_topic(topic: bytes) -> bool:
    """Tell whether a topic could be one of `fence_topic`."""
    return topic.startswith(_FENCE_PREFIX) and len(topic) <= MAX_TOPIC_BYTES


def encode_batch(batch: Batch) -> list[bytes]:
    """Return the parts of a batch's message; a single payload is not copied."""
    payloads = batch.payloads
    lengths = struct.pack(f"!{len(payloads)}I", *map(len, payloads))
    head = _HEAD.pack(_VERSION, _RECORDS, 0, batch.epoch, batch.first, len(payloads))
    body = payloads[0] if len(payloads) == 1 else b"".join(payloads)
    return [batch.topic, head + lengths, body]


def encode_fence(fence: Fence) -> list[bytes]:
    """Return the parts of a fence's message."""
    head = _HEAD.pack(_VERSION, _FENCE, 0, fence.epoch, fence.number, 0)
    return [fence.topic, head]


def decode_published(parts: Sequence[bytes]) -> Batch | Fence:
    """Return what a message of a publisher says.

    Raises:
        MalformedFrameError: It is no such message; the offset is that in its header.
    """
    if len(parts) not in (2, 3):
        raise MalformedFrameError(0, f"message of {len(parts)} parts where 2 or 3 are")
    topic, header = parts[0], parts[1]
    if len(header) < _HEAD.size:
        raise MalformedFrameError(len(header), "header cut short")
    version, kind, zero, epoch, number, count = _HEAD.unpack_from(header)
    if version != _VERSION or zero:
        raise MalformedFrameError(0, f"header of version {version}")
    if epoch == 0:
        raise MalformedFrameError(4, "epoch of zero")
    if kind == _FENCE and len(parts) == 2 and len(header) == _HEAD.size and not count:
        return Fence(topic, epoch, number)
    if kind != _RECORDS or len(parts) != 3:
        raise MalformedFrameError(1, f"kind {kind} in {len(parts)} parts")
    if topic.startswith(RESERVED) or len(topic) > MAX_TOPIC_BYTES:
        raise MalformedFrameError(0, "records on a topic that cannot be")
    return Batch(topic, epoch, number, _split(header, number, count, parts[2]))


def _split(header: bytes, first: int, count: int, body: bytes) -> list[bytes]:
    """Cut a body into payloads, checking what the header says of it."""
    if not 0 < count <= MAX_BATCH or len(header) != _HEAD.size + 4 * count:
        raise MalformedFrameError(20, f"{count} records in a header of {len(header)}")
    if first + count > _MAX_SEQUENCE:
        raise MalformedFrameError(12, "sequence number past the end")
    lengths = struct.unpack_from(f"!{count}I", header, _HEAD.size)
    if sum(lengths) != len(body):
        reason = f"records of {sum(lengths)} bytes in a body of {len(body)}"
        raise MalformedFrameError(_HEAD.size, reason)
    if count == 1:
        return [body]
    return [body[a:b] for a, b in pairwise(accumulate(lengths, initial=0))]
