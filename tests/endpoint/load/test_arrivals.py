"""When requests are due."""

import statistics
from itertools import islice, pairwise

import pytest

from busduct.endpoint.load._arrivals import arrival_offsets


def offsets(rate: float, arrival: str, count: int, seed: int = 1) -> list[int]:
    found = arrival_offsets(rate, arrival, seed)  # type: ignore[arg-type]
    return [offset for offset in islice(found, count) if offset is not None]


def test_constant_gaps_do_not_drift() -> None:
    found = offsets(3.0, "constant", 300_001)
    assert found[0] == 0
    # A third of a second is no whole number of nanoseconds: a sum of gaps would be off
    # by 100 microseconds here.
    assert found[-1] == 100_000 * 10**9
    assert {after - before for before, after in pairwise(found)} == {
        333_333_333,
        333_333_334,
    }


def test_poisson_gaps_are_exponential() -> None:
    count, rate = 50_000, 200.0
    found = offsets(rate, "poisson", count)
    gaps = [after - before for before, after in pairwise([0, *found])]
    mean = 1e9 / rate
    # Five standard errors; the seed makes it one fixed sample of that distribution.
    assert statistics.fmean(gaps) == pytest.approx(mean, rel=5 / count**0.5)
    assert statistics.stdev(gaps) == pytest.approx(mean, rel=0.03)
    # Of exponential gaps, 1 - 1/e are shorter than their mean.
    shorter = sum(gap < mean for gap in gaps) / count
    assert shorter == pytest.approx(0.6321, abs=0.01)
    # And they do not depend on the gap before.
    products = [(a - mean) * (b - mean) for a, b in pairwise(gaps)]
    assert abs(statistics.fmean(products)) / mean**2 < 0.03


def test_poisson_counts_vary_as_their_mean() -> None:
    found = offsets(50.0, "poisson", 50_000)
    counts = [0] * (found[-1] // 10**9)
    for offset in found:
        if offset // 10**9 < len(counts):
            counts[offset // 10**9] += 1
    assert statistics.fmean(counts) == pytest.approx(50, rel=0.02)
    assert statistics.variance(counts) == pytest.approx(50, rel=0.15)


def test_seed_makes_arrivals_repeatable() -> None:
    assert offsets(10.0, "poisson", 100) == offsets(10.0, "poisson", 100)
    assert offsets(10.0, "poisson", 100) != offsets(10.0, "poisson", 100, seed=2)


def test_without_a_rate_nothing_is_due_at_a_time() -> None:
    assert list(islice(arrival_offsets(None, "poisson", 1), 3)) == [None] * 3
