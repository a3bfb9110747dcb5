"""Durations, counted so that every percentile is known to three digits (no I/O)."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

__all__ = ["Distribution", "DurationHistogram"]

# From a tenth of a microsecond to a day, in nanoseconds.
_LEAST = 100
_GREATEST = 86_400 * 1_000_000_000
_DIGITS = 3
# Kept of each duration: 0.05 percent at worst, which the digits do not tell apart.
_BITS = 12
_MAX_FRESH = 8192
_MILLISECOND = 1e6
_MAX_CURVE_POINTS = 200


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a histogram holds; durations in milliseconds.

    Attributes:
        count: Durations that were counted.
        mean: Of all.
        min: The least.
        p50: Half are no longer than this.
        p90: So are nine of ten.
        p95: So are 19 of 20.
        p99: So are 99 of 100.
        p99_9: So are 999 of 1000.
        max: The longest.
        curve: Pairs of a duration and the part, 0 to 1, that is no longer than it.
    """

    count: int
    mean: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float
    curve: list[tuple[float, float]]


class DurationHistogram:
    """Counts durations; what it gives back is right to 0.1 percent."""

    def __init__(self) -> None:
        self._counts = HdrHistogram(_LEAST, _GREATEST, _DIGITS)
        # Not yet in the histogram, whose own record takes several times as long. Many
        # durations are alike: what came in one read has the same time.
        self._fresh: dict[int, int] = {}
        self._num_recorded = 0
        self._total_ns = 0
        self._least_ns = _GREATEST
        self._greatest_ns = 0

    def __len__(self) -> int:
        return self._num_recorded

    def record(self, duration_ns: int) -> None:
        """Count a duration; one below zero counts as zero, one over a day as a day."""
        if duration_ns > self._greatest_ns:
            duration_ns = min(duration_ns, _GREATEST)
            self._greatest_ns = duration_ns
        if duration_ns < self._least_ns:
            duration_ns = max(duration_ns, 0)
            self._least_ns = duration_ns
        self._num_recorded += 1
        self._total_ns += duration_ns
        shift = duration_ns.bit_length() - _BITS
        if shift > 0:
            duration_ns = duration_ns >> shift << shift
        fresh = self._fresh
        fresh[duration_ns] = fresh.get(duration_ns, 0) + 1
        if len(fresh) > _MAX_FRESH:
            self._fold()

    def record_many(self, durations_ns: Sequence[int]) -> None:
        """Count durations as `record` does, in a fraction of the time."""
        if not len(durations_ns):
            return
        least, greatest = min(durations_ns), max(durations_ns)
        if least < 0 or greatest > _GREATEST:
            durations_ns = [min(max(each, 0), _GREATEST) for each in durations_ns]
            least, greatest = max(least, 0), min(greatest, _GREATEST)
        self._least_ns = min(self._least_ns, least)
        self._greatest_ns = max(self._greatest_ns, greatest)
        self._num_recorded += len(durations_ns)
        self._total_ns += sum(durations_ns)
        for duration_ns, count in Counter(durations_ns).items():
            self._counts.record_value(duration_ns, count)

    def percentile_ms(self, percent: float) -> float | None:
        """Return the duration that `percent` of them do not exceed; None of none."""
        if not self._num_recorded:
            return None
        self._fold()
        found = int(self._counts.get_value_at_percentile(percent))
        # The histogram answers with the end of a step, which may lie beyond all.
        return min(max(found, self._least_ns), self._greatest_ns) / _MILLISECOND

    def _fold(self) -> None:
        for duration_ns, count in self._fresh.items():
            self._counts.record_value(duration_ns, count)
        self._fresh.clear()

    def distribution(self) -> Distribution | None:
        """Return what it holds; None if it is empty."""
        if not self._num_recorded:
            return None
        p50, p90, p95, p99, p99_9 = (
            self.percentile_ms(percent) or 0.0 for percent in (50, 90, 95, 99, 99.9)
        )
        return Distribution(
            count=self._num_recorded,
            mean=self._total_ns / self._num_recorded / _MILLISECOND,
            min=self._least_ns / _MILLISECOND,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p99_9=p99_9,
            max=self._greatest_ns / _MILLISECOND,
            curve=self._curve(),
        )

    def bins(self, per_decade: int = 20) -> list[tuple[float, float, int]]:
        """Return how many durations lie between which: bounds in ms, and the count.

        Args:
            per_decade: So many bins have the same width on a logarithmic scale; those
                between others are there even if they are empty.
        """
        self._fold()
        counts: Counter[int] = Counter()
        for step in self._counts.get_recorded_iterator():
            value_ns = max(step.value_iterated_to, _LEAST)
            number = math.floor(math.log10(value_ns / _MILLISECOND) * per_decade)
            counts[number] += step.count_added_in_this_iter_step
        if not counts:
            return []
        return [
            (10 ** (number / per_decade), 10 ** ((number + 1) / per_decade), count)
            for number in range(min(counts), max(counts) + 1)
            for count in (counts[number],)
        ]

    def _curve(self) -> list[tuple[float, float]]:
        """Return the cumulative distribution, in steps of about the same height."""
        points: list[tuple[float, float]] = []
        total = self._num_recorded
        last = 0.0
        for step in self._counts.get_recorded_iterator():
            part = step.total_count_to_this_value / total
            if part - last >= 1 / _MAX_CURVE_POINTS or part == 1 or not points:
                value = min(step.value_iterated_to, self._greatest_ns)
                points.append((value / _MILLISECOND, part))
                last = part
        return points
