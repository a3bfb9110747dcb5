"""A message of a queue, as the parts that it is sent in."""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from busduct.errors import MalformedFrameError, RemoteProtocolError

__all__ = [
    "DATA",
    "ENCODINGS",
    "HEADER_BYTES",
    "INLINE_BYTES",
    "Data",
    "Encoded",
    "Encoding",
    "data_parts",
    "pack_data",
    "parse_data",
    "unpack_header",
]

# A body below this joins its header in one part: cheaper than two, and never lent.
INLINE_BYTES = 16384

DATA = 2
# Kind, encoding, flags, deliveries, message id, timestamp, messages dropped.
_HEADER = struct.Struct("<BBHIQdQ")
HEADER_BYTES = _HEADER.size
_pack = _HEADER.pack
unpack_header = _HEADER.unpack_from
_IS_INLINE, _IS_LARGE = 1, 2


class Encoding(IntEnum):
    """What the body of a message is."""

    BYTES = 0
    BUFFER = 1
    OBJECT = 2


# Looking a member of an enumeration up costs as much as all else about a message.
ENCODINGS = tuple(Encoding)
_OBJECT = int(Encoding.OBJECT)


class Encoded(msgspec.Struct, frozen=True, gc=False):
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


class Data(msgspec.Struct, frozen=True, gc=False):
    """A message as it came; body and parts are leases or bytes."""

    encoding: Encoding
    is_large: bool
    num_deliveries: int
    msg_id: int
    timestamp: float
    num_skipped: int
    body: Any
    parts: Sequence[Any]


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
    body, parts = encoded.body, encoded.parts
    is_inline = type(body) is bytes and len(body) < INLINE_BYTES
    flags = _IS_INLINE if is_inline else 0
    if encoded.is_large:
        flags |= _IS_LARGE
    # NB: spelled out: unpacking half of them into the call takes as long as the rest.
    header = _pack(
        DATA, encoded.encoding, flags, num_deliveries, msg_id, timestamp, num_skipped
    )
    if not is_inline:
        return [header, body, *parts]
    return [header + body, *parts] if parts else header + body


def parse_data(header: tuple[Any, ...], head: Any, parts: Sequence[Any]) -> Data:
    """Return a message.

    Args:
        header: As `unpack_header` gives it.
        head: The first part, where that is.
        parts: All, also the first.

    Raises:
        RemoteProtocolError: It is none.
    """
    _, encoding, flags, num_deliveries, msg_id, timestamp, num_skipped = header
    if encoding >= len(ENCODINGS) or flags > (_IS_INLINE | _IS_LARGE):
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
    return Data(
        ENCODINGS[encoding],
        flags & _IS_LARGE != 0,
        num_deliveries,
        msg_id,
        timestamp,
        num_skipped,
        body,
        others,
    )
