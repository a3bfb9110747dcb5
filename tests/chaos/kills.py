"""How many processes are killed, and what was measured of it."""

import os
import statistics
import sys
from collections.abc import Iterator

# 500 prove more, in minutes: `make test-kills`.
NUM_KILLS = int(os.environ.get("BUSDUCT_KILLS") or 32)
NUM_TESTS = 4
# A context sees so many deaths.
KILLS_PER_CONTEXT = 5
TIMEOUT_SECONDS = 60 + 4 * NUM_KILLS
# Half of all deaths are known within this, mostly all of them. A few on a busy machine
# say little, but that no timeout was waited for.
DEATH_SECONDS = 0.05
BUSY_SECONDS = 5.0
MANY = 50


def groups() -> Iterator[int]:
    """Share the kills among the tests, and then among contexts."""
    left = NUM_KILLS // NUM_TESTS
    while left > 0:
        yield min(left, KILLS_PER_CONTEXT)
        left -= KILLS_PER_CONTEXT


def report(seconds: list[float], *, what: str) -> None:
    """Check and tell how long it took until deaths were known."""
    if not seconds:
        return
    times = sorted(1000 * second for second in seconds)
    figures = " ".join(
        f"p{share}={times[min(len(times) * share // 100, len(times) - 1)]:.1f}"
        for share in (50, 90, 99)
    )
    sys.stdout.write(
        f"{what}: {len(times)} kills, ms until known: {figures} max={times[-1]:.1f}\n"
    )
    limit = DEATH_SECONDS if len(seconds) >= MANY else BUSY_SECONDS
    assert statistics.median(seconds) < limit
