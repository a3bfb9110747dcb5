"""What rounds add up to, and what must not be missing from one."""

from array import array

import pytest

from busduct.errors import WorkerError
from busduct.fmq.bench import BenchConfig
from busduct.fmq.bench._control import Consumed, FromSource, Produced
from busduct.fmq.bench._round import RoundResult
from busduct.fmq.bench._tally import CaseTally, check_complete

CONFIG = BenchConfig(
    num_producers=2, num_consumers=2, num_messages=4, payload_nbytes=1000, num_warmup=5
)
MS = 1_000_000


def source(latencies: list[int], ids: list[int]) -> FromSource:
    return FromSource(array("q", latencies).tobytes(), sum(ids))


def result(**of_first: FromSource) -> RoundResult:
    """Return a round of two producers; their ids follow two warm-ups of five."""
    empty = b""
    puts = array("q", [MS] * 4).tobytes()
    first = {
        "aa": source([MS, 2 * MS], [10, 12]),
        "bb": source([5 * MS] * 3, [10, 11, 12]),
    }
    return RoundResult(
        produced=[
            Produced(100.0, 102.0, 0.25, puts, empty),
            Produced(101.0, 103.0, 0.5, puts, empty),
        ],
        consumed=[
            Consumed(104.0, 0.1, first | of_first),
            Consumed(
                102.0,
                0.2,
                {"aa": source([3 * MS, 4 * MS], [11, 13]), "bb": source([MS], [13])},
            ),
        ],
        producer_ids=["aa", "bb"],
        num_warm_ups=2,
    )


def test_a_round_in_which_each_message_came_once_is_complete() -> None:
    check_complete(CONFIG, result())


@pytest.mark.parametrize(
    ("latencies", "ids"),
    [
        ([MS], [10]),
        ([MS, MS, MS], [10, 12, 12]),
        ([MS, MS], [10, 11]),
        ([MS, MS], [9, 12]),
        ([], []),
    ],
)
def test_a_message_that_is_missing_or_came_twice_is_told(
    latencies: list[int], ids: list[int]
) -> None:
    with pytest.raises(WorkerError, match="producer 0 put 4 messages"):
        check_complete(CONFIG, result(aa=source(latencies, ids)))
    tally = CaseTally(CONFIG, "burst", "shm")
    with pytest.raises(WorkerError):
        tally.add(result(aa=source(latencies, ids)), is_whole=True)
    tally.add(result(aa=source(latencies, ids)), is_whole=False)


def test_a_round_counts_from_the_first_put_to_the_last_get() -> None:
    figures = CaseTally(CONFIG, "burst", "shm").add(result(), is_whole=True)
    assert figures.messages == 8
    assert figures.seconds == 4.0
    assert figures.messages_per_second == 2.0
    assert figures.bytes_per_second == 2000.0


def test_members_and_all_have_their_own_latencies() -> None:
    tally = CaseTally(CONFIG, "burst", "kernel")
    assert tally.report() is None
    tally.add(result(), is_whole=True)
    tally.add(result(), is_whole=True)
    report = tally.report()
    assert report is not None
    assert (report.mode, report.carrier) == ("burst", "kernel")
    assert [each.messages for each in report.rounds] == [8, 8]
    assert report.messages_per_second == 2.0
    assert report.latency is not None
    assert (report.latency.count, report.latency.min, report.latency.max) == (16, 1, 5)
    assert report.latency.mean == pytest.approx(26 / 8)
    assert sum(count for _, _, count in report.histogram) == 16
    assert report.put is not None
    assert report.put.p50 == pytest.approx(1.0, rel=0.001)
    assert report.send_lag is None
    means = [each.latency.mean for each in report.producers if each.latency]
    assert means == pytest.approx([2.5, 4.0])
    means = [each.latency.mean for each in report.consumers if each.latency]
    assert means == pytest.approx([18 / 5, 8 / 3])
    assert [each.messages for each in report.consumers] == [10, 6]
    assert [each.seconds for each in report.producers] == [4.0, 4.0]
    assert [each.seconds for each in report.consumers] == [8.0, 4.0]
    assert [each.messages_per_second for each in report.consumers] == [1.25, 1.5]
    cpu = [each.cpu_us_per_message for each in (*report.producers, *report.consumers)]
    assert cpu == pytest.approx([62_500, 125_000, 20_000, 66_666.67])


def test_lags_of_a_pace_are_reported() -> None:
    lagging = result()
    lags = array("q", [3 * MS] * 4).tobytes()
    produced = [
        Produced(each.first, each.last, each.cpu_seconds, each.puts, lags)
        for each in lagging.produced
    ]
    tally = CaseTally(CONFIG, "paced", "shm")
    tally.add(RoundResult(produced, lagging.consumed, ["aa", "bb"], 2), is_whole=True)
    report = tally.report()
    assert report is not None
    assert report.send_lag is not None
    assert (report.send_lag.count, report.send_lag.max) == (8, 3.0)


def test_a_producer_of_which_nothing_came_has_no_latency() -> None:
    nothing = Consumed(0.0, 0.1, {})
    whole = result()
    empty = RoundResult(whole.produced, [nothing, nothing], ["aa", "bb"], 2)
    tally = CaseTally(CONFIG, "burst", "shm")
    tally.add(empty, is_whole=False)
    report = tally.report()
    assert report is not None
    assert report.latency is None
    assert report.histogram == []
    assert [each.latency for each in report.producers] == [None, None]
    assert report.rounds[0].messages == 0
