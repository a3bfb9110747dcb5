"""Messages that tell who they are and whether they are whole."""

import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

KIB, MIB = 1 << 10, 1 << 20
# Parts up to this go into the ring, larger ones into a slot.
INLINE_MAX_BYTES = 16 * KIB
_HEADER = struct.Struct("<QQL")
_NOISE = random.Random(5).randbytes(MIB)


class TornError(AssertionError):
    """A message came that nobody sent so."""


def message(number: int) -> list[bytes]:
    """Make the parts of a message, always the same ones of a number."""
    rng = random.Random(number)
    parts = [_noise(rng, nbytes) for nbytes in _sizes(rng)]
    header = _HEADER.pack(number, sum(map(len, parts)), _checksum(parts))
    return [header + parts[0], *parts[1:]]


def number_of(parts: Sequence[Any]) -> int:
    """Return the number of a message.

    Raises:
        TornError: It is not what was sent.
    """
    views = [memoryview(part) for part in parts]
    if len(views[0]) < _HEADER.size:
        msg = f"{len(views)} parts, the first of {len(views[0])} bytes"
        raise TornError(msg)
    number, nbytes, checksum = _HEADER.unpack(views[0][: _HEADER.size])
    bodies = [views[0][_HEADER.size :], *views[1:]]
    found = sum(map(len, bodies))
    if (found, _checksum(bodies)) != (nbytes, checksum):
        msg = f"message {number}: {found} bytes of {nbytes}, or others"
        raise TornError(msg)
    return int(number)


def _sizes(rng: random.Random) -> list[int]:
    """Draw how large the parts of a message are."""
    kind = rng.random()
    if kind < 0.5:
        return [rng.randrange(KIB)]
    if kind < 0.65:
        return [INLINE_MAX_BYTES - _HEADER.size + rng.randint(-9, 9)]
    if kind < 0.9:
        return [rng.randrange(32 * KIB, MIB)]
    if kind < 0.96:
        return [rng.randrange(100), 0, rng.randrange(100 * KIB), rng.randrange(9)]
    # More in small parts than half of a ring takes: it goes as a stream.
    if kind < 0.995:
        return [16_000] * 20
    return [17 * MIB]


def _noise(rng: random.Random, nbytes: int) -> bytes:
    start = rng.randrange(MIB)
    copies = (start + nbytes) // MIB + 1
    return (
        (_NOISE * copies)[start : start + nbytes]
        if copies > 1
        else _piece(start, nbytes)
    )


def _piece(start: int, nbytes: int) -> bytes:
    return _NOISE[start : start + nbytes]


def _checksum(parts: Sequence[Any]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
