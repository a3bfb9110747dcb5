"""One published payload for the parts of a message (docs/wire.md, "Topics")."""

import struct
from collections.abc import Sequence
from typing import Any

from busduct.errors import (
    LocalProtocolError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.fmq._wire import Data, Encoded, data_parts, parse_from_producer

__all__ = ["MAX_PARTS", "PACKING_BYTES", "pack", "unpack"]

_PACKED = 64
_HEAD = struct.Struct("<BxHxxxx")
# Where arrays of every type can lie, as a view of a `bytes` object.
_ALIGNMENT = 16
MAX_PARTS = 1026
# More than a message takes up beside its body and its parts.
PACKING_BYTES = _HEAD.size + MAX_PARTS * (8 + _ALIGNMENT) + 64


def pack(encoded: Encoded, *, msg_id: int, timestamp: float) -> bytes:
    """Return a payload to be published, with all that the message consists of.

    Raises:
        LocalProtocolError: It consists of too many parts.
    """
    parts = data_parts(
        encoded, msg_id=msg_id, timestamp=timestamp, num_deliveries=1, num_skipped=0
    )
    if len(parts) == 1:
        return bytes(parts[0])
    if len(parts) > MAX_PARTS:
        msg = f"{len(parts)} parts exceed limit of {MAX_PARTS}"
        raise LocalProtocolError(msg)
    views = [memoryview(part).cast("B") for part in parts]
    sizes = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
    pieces: list[Any] = [_HEAD.pack(_PACKED, len(views)), sizes]
    place = _HEAD.size + len(sizes)
    for view in views:
        padding = -place % _ALIGNMENT
        pieces += [bytes(padding), view]
        place += padding + view.nbytes
    return b"".join(pieces)


def unpack(payload: bytes) -> Data:
    """Return the message of a payload; what is large in it are views.

    Raises:
        RemoteProtocolError: There is none.
    """
    parts = _split(payload) if payload[:1] == bytes([_PACKED]) else [payload]
    message = parse_from_producer(parts)
    if not isinstance(message, Data):
        msg = f"{type(message).__name__} where a message is published"
        raise RemoteProtocolError(msg)
    return message


def _split(payload: bytes) -> Sequence[memoryview]:
    if len(payload) < _HEAD.size:
        raise MalformedFrameError(len(payload), "packing ends early")
    _, count = _HEAD.unpack_from(payload)
    start = _HEAD.size + 8 * count
    if not 0 < count <= MAX_PARTS or len(payload) < start:
        raise MalformedFrameError(2, f"{count} parts in {len(payload)} bytes")
    sizes = struct.unpack_from(f"<{count}Q", payload, _HEAD.size)
    view = memoryview(payload)
    parts = []
    for nbytes in sizes:
        start += -start % _ALIGNMENT
        parts.append(view[start : start + nbytes])
        start += nbytes
    if start != len(payload):
        raise MalformedFrameError(len(payload), f"parts up to {start}")
    return parts
