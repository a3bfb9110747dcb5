"""When requests shall be sent (no I/O)."""

import random
from collections.abc import Iterator
from itertools import count, repeat
from typing import Literal, TypeAlias

__all__ = ["Arrival", "arrival_offsets"]

Arrival: TypeAlias = Literal["poisson", "constant"]

_NANOSECONDS = 1_000_000_000


def arrival_offsets(
    rate: float | None, arrival: Arrival, seed: int
) -> Iterator[int | None]:
    """Return when to send each request, in nanoseconds from the start, without end.

    The times are fixed beforehand: how soon an answer comes changes none of them.

    Args:
        rate: Requests per second; None gives None for each: as soon as it may be.
        arrival: ``poisson`` has independent, exponentially distributed gaps, as many
            independent users make them; ``constant`` has equal ones.
        seed: Of ``poisson``.
    """
    if rate is None:
        return repeat(None)
    if arrival == "constant":
        # From the number, not by adding up gaps: those would add up their rounding.
        return (round(number * _NANOSECONDS / rate) for number in count())
    return _poisson_offsets(rate, random.Random(seed))


def _poisson_offsets(rate: float, source: random.Random) -> Iterator[int]:
    offset = 0.0
    while True:
        offset += source.expovariate(rate)
        yield round(offset * _NANOSECONDS)
