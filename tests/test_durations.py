"""Histograms of durations, against numpy."""

from array import array

import numpy as np
import pytest

from busduct._durations import DurationHistogram

DISTRIBUTIONS = {
    "lognormal": lambda source: source.lognormal(16, 1.5, 20_000),
    "uniform": lambda source: source.uniform(1e6, 5e8, 20_000),
    "two_modes": lambda source: np.concatenate(
        [source.normal(2e6, 1e5, 10_000), source.normal(3e9, 1e8, 10_000)]
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_are_those_of_numpy(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(3)).astype(np.int64)
    histogram = DurationHistogram()
    for value in values.tolist():
        histogram.record(value)
    found = histogram.distribution()
    assert found is not None
    for percent, given in (
        (50, found.p50),
        (90, found.p90),
        (95, found.p95),
        (99, found.p99),
    ):
        exact = np.percentile(values, percent, method="inverted_cdf") / 1e6
        assert given == pytest.approx(exact, rel=0.001)
    assert found.min == values.min() / 1e6
    assert found.max == values.max() / 1e6
    assert found.mean == pytest.approx(values.mean() / 1e6, rel=1e-9)
    assert found.count == 20_000


def test_curve_is_the_cumulative_distribution() -> None:
    values = np.random.default_rng(4).lognormal(16, 1, 20_000).astype(np.int64)
    histogram = DurationHistogram()
    for value in values.tolist():
        histogram.record(value)
    found = histogram.distribution()
    assert found is not None
    assert 100 < len(found.curve) <= 202
    for duration, part in found.curve:
        exact = np.mean(values <= duration * 1e6 * 1.001)
        assert part == pytest.approx(exact, abs=0.005)
    assert found.curve[-1] == (found.max, 1.0)
    assert [part for _, part in found.curve] == sorted(p for _, p in found.curve)


def test_one_duration_is_every_percentile() -> None:
    histogram = DurationHistogram()
    histogram.record(123_456_789)
    found = histogram.distribution()
    assert found is not None
    assert {found.min, found.p50, found.p90, found.p99, found.p99_9, found.max} == {
        123.456789
    }
    assert found.curve == [(123.456789, 1.0)]


def test_empty_histogram_has_no_distribution() -> None:
    assert DurationHistogram().distribution() is None
    assert DurationHistogram().percentile_ms(50) is None


@pytest.mark.parametrize(("given", "counted"), [(-5, 0), (10**18, 86_400_000)])
def test_what_is_out_of_range_is_counted_at_its_end(given: int, counted: float) -> None:
    histogram = DurationHistogram()
    histogram.record(given)
    found = histogram.distribution()
    assert found is not None
    assert found.p50 == found.max == counted


def test_many_durations_are_counted_as_each_of_them_is() -> None:
    values = [-5, 0, 99, 12_345, 12_345, 7_000_000, 10**20]
    one, many = DurationHistogram(), DurationHistogram()
    for value in values:
        one.record(value)
    many.record_many([])
    assert many.distribution() is None
    many.record_many(array("q", values[:4]))
    many.record_many(values[4:])
    assert many.distribution() == one.distribution()
    assert len(many) == len(values)


def test_bins_have_every_duration_between_their_bounds() -> None:
    histogram = DurationHistogram()
    histogram.record_many([1_050_000] * 3 + [9_000_000] * 2)
    bins = histogram.bins(per_decade=10)
    assert sum(count for _, _, count in bins) == 5
    (low, high, count), *between, (last_low, last_high, last_count) = bins
    assert (count, last_count) == (3, 2)
    assert low <= 1.05 < high
    assert last_low <= 9.0 < last_high
    assert [count for _, _, count in between] == [0] * 8
    assert DurationHistogram().bins() == []
