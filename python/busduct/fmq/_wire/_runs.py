"""Several small messages in one part: what each costs is shared by all."""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from busduct.errors import (
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.fmq._wire._messages import ENCODINGS, Data, Encoding

__all__ = [
    "MAX_RUN_BYTES",
    "MAX_RUN_MESSAGES",
    "RUN",
    "RUN_HEADER_BYTES",
    "RUN_MESSAGE_BYTES",
    "Run",
    "pack_run",
    "parse_run",
]

RUN = 4
MAX_RUN_MESSAGES = 256
# What is larger goes through slots of shared memory, which takes longer than the ring.
MAX_RUN_BYTES = 16384

# Kind, encoding, messages, zero, messages dropped.
_HEADER = struct.Struct("<BBHIQ")
RUN_HEADER_BYTES = _HEADER.size
# Of each: message id, timestamp, length of the body. All of one kind come together.
RUN_MESSAGE_BYTES = struct.calcsize("<QdI")
# NB: made when they are used; to find one in the cache of `struct` takes as long.
_TABLES: dict[int, struct.Struct] = {}


class Run(NamedTuple):
    """Messages that came together.

    Attributes:
        messages: In their order, with their bytes; at least one.
    """

    messages: Sequence[tuple[Data, int]]


def pack_run(
    encoding: Encoding,
    bodies: Sequence[bytes],
    msg_ids: Sequence[int],
    timestamps: Sequence[float],
    num_skipped: int,
) -> bytes:
    """Return messages as one part, which must keep to the limits of a run.

    Args:
        encoding: Of all of them.
        bodies: One of each, and so are the next two.
        msg_ids: As of `data_parts`.
        timestamps: As there.
        num_skipped: As there.
    """
    count = len(bodies)
    header = _HEADER.pack(RUN, encoding, count, 0, num_skipped)
    table = _table(count).pack(*msg_ids, *timestamps, *map(len, bodies))
    return b"".join((header, table, *bodies))


def parse_run(part: Any) -> Run:
    """Return the messages of a run.

    Args:
        part: A lease or bytes, long enough for the header.

    Raises:
        RemoteProtocolError: It is none.
    """
    if len(part) > MAX_RUN_BYTES:
        raise FrameTooLargeError(len(part), MAX_RUN_BYTES)
    whole = part if type(part) is bytes else bytes(part)
    _, number, count, zero, num_skipped = _HEADER.unpack_from(whole)
    start = RUN_HEADER_BYTES + count * RUN_MESSAGE_BYTES
    if number >= len(ENCODINGS) or zero or not 0 < count <= MAX_RUN_MESSAGES:
        msg = f"run of {count} messages of encoding {number}, and {zero}"
        raise RemoteProtocolError(msg)
    if len(whole) < start:
        raise MalformedFrameError(len(whole), f"run of {count} messages ends early")
    table = _table(count).unpack_from(whole, RUN_HEADER_BYTES)
    sizes = table[2 * count :]
    places = list(accumulate(sizes, initial=start))
    if places[-1] != len(whole):
        raise MalformedFrameError(len(whole), f"bodies up to {places[-1]}")
    encoding = ENCODINGS[number]
    messages = [
        Data(encoding, False, 1, msg_id, timestamp, num_skipped, whole[at:end], ())
        for msg_id, timestamp, at, end in zip(
            table, table[count:], places, places[1:], strict=False
        )
    ]
    return Run(list(zip(messages, sizes, strict=True)))


def _table(count: int) -> struct.Struct:
    table = _TABLES.get(count)
    if table is None:
        table = _TABLES[count] = struct.Struct(f"<{count}Q{count}d{count}I")
    return table
