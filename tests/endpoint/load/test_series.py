"""Counts over time in bounded memory."""

from itertools import pairwise

from busduct.endpoint.load._series import Samples, TimeSeries

SECOND = 10**9


def test_counts_fall_into_their_step() -> None:
    series = TimeSeries("a", "b")
    for offset in (0, SECOND // 10 - 1, SECOND // 10, 3 * SECOND // 10):
        series.add("a", offset)
    series.add("b", 0, 5)
    assert series.width_ns == SECOND // 10
    assert series.aligned() == {"a": [2, 1, 0, 1], "b": [5, 0, 0, 0]}


def test_steps_grow_and_lose_nothing() -> None:
    series = TimeSeries("a")
    for second in range(1000):
        series.add("a", second * SECOND)
    # 600 steps of 1.6 s would end at 960 s.
    assert series.width_ns == SECOND // 10 * 32
    counts = series.aligned()["a"]
    assert len(counts) <= 600
    assert sum(counts) == 1000
    width = series.width_ns / SECOND
    expected = [0] * len(counts)
    for second in range(1000):
        expected[int(second / width + 1e-9)] += 1
    assert counts == expected


def test_time_before_the_start_counts_as_the_start() -> None:
    series = TimeSeries("a")
    series.add("a", -1)
    assert series.aligned() == {"a": [1]}


def test_samples_are_all_values_or_evenly_spread_ones() -> None:
    samples = Samples()
    for number in range(4096):
        samples.add(number, -number)
    assert samples.values == [(number, -number) for number in range(4096)]
    for number in range(4096, 100_000):
        samples.add(number, -number)
    times = [when for when, _ in samples.values]
    assert 2048 <= len(times) <= 4096
    gaps = {after - before for before, after in pairwise(times)}
    assert gaps == {32}
    assert times[-1] >= 100_000 - 32
