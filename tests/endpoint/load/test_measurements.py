"""What is measured of queries, by hand-made times."""

import pytest

from busduct.endpoint.load._measurements import Measurements, error_name
from busduct.messages import ErrorData, QueryResult, StreamChunk

MS = 1_000_000


def chunk(query_id: str = "a") -> StreamChunk:
    return StreamChunk(id=query_id, response_chunk="x")


def result(query_id: str = "a", **metadata: object) -> QueryResult:
    return QueryResult(id=query_id, metadata=metadata)


def usage(completion: object, prompt: object = 7) -> dict[str, object]:
    return {"completion_tokens": completion, "prompt_tokens": prompt}


def streamed(*times_ms: int, end_ms: int, **metadata: object) -> Measurements:
    measured = Measurements(0)
    measured.sent("a", 0, 0)
    for time_ms in times_ms:
        assert not measured.received(chunk(), time_ms * MS)
    assert measured.received(result(**metadata), end_ms * MS)
    return measured


def test_stream_gives_all_four_durations() -> None:
    measured = streamed(100, 130, 150, 190, end_ms=200, usage=usage(10))
    assert measured.ttft.percentile_ms(50) == 100
    assert measured.latency.percentile_ms(50) == 200
    # Ninety milliseconds for the nine tokens after the first.
    assert measured.tpot.percentile_ms(50) == 10
    assert len(measured.itl) == 3
    distribution = measured.itl.distribution()
    assert distribution is not None
    assert (distribution.min, distribution.max) == (20, 40)
    assert distribution.mean == 30


def test_latency_counts_from_when_it_was_due() -> None:
    measured = Measurements(0)
    measured.sent("a", 100 * MS, 400 * MS)
    measured.received(chunk(), 450 * MS)
    measured.received(result(), 500 * MS)
    assert measured.latency.percentile_ms(50) == 400
    assert measured.ttft.percentile_ms(50) == 350
    assert measured.send_lag.percentile_ms(50) == 300


def test_delivery_lag_is_from_when_a_worker_had_the_result() -> None:
    measured = Measurements(0)
    measured.sent("a", 0, 0)
    late = QueryResult(id="a", completed_at=47 * MS)
    measured.received(late, 50 * MS)
    assert measured.delivery_lag.percentile_ms(50) == 3
    assert measured.latency.percentile_ms(50) == 50


@pytest.mark.parametrize("told", [None, {}, usage("many"), usage(-1), "none"])
def test_events_stand_for_tokens_that_are_not_told(told: object) -> None:
    measured = streamed(100, 110, 120, end_ms=120, usage=told)
    assert measured.num_output_tokens == 3
    assert measured.tpot.percentile_ms(50) == 10
    assert (measured.num_counted_by_usage, measured.num_counted_by_chunks) == (0, 1)


def test_told_tokens_are_counted() -> None:
    measured = streamed(100, 110, end_ms=120, usage=usage(12))
    assert measured.num_output_tokens == 12
    assert measured.num_input_tokens == 7
    assert (measured.num_counted_by_usage, measured.num_counted_by_chunks) == (1, 0)


def test_one_chunk_or_one_token_has_no_time_per_token() -> None:
    assert len(streamed(100, end_ms=110, usage=usage(5)).tpot) == 0
    assert len(streamed(100, 110, end_ms=110, usage=usage(1)).tpot) == 0


def test_whole_answer_has_a_latency_alone() -> None:
    measured = streamed(end_ms=50, usage=usage(3))
    assert len(measured.latency) == 1
    assert len(measured.ttft) == len(measured.tpot) == len(measured.itl) == 0
    assert measured.num_output_tokens == 3


def test_errors_are_counted_by_type_and_status_and_have_no_latency() -> None:
    measured = Measurements(0)
    errors = [
        ErrorData(error_type="http", error_message="first", status=503),
        ErrorData(error_type="http", error_message="second", status=503),
        ErrorData(error_type="http", error_message="slow down", status=429),
        ErrorData(error_type="timeout"),
    ]
    for number, error in enumerate(errors):
        measured.sent(str(number), 0, 0)
        failed = QueryResult(id=str(number), error=error)
        assert measured.received(failed, MS)
    assert measured.errors == {"http 503": 2, "http 429": 1, "timeout": 1}
    assert measured.error_texts["http 503"] == "first"
    assert measured.num_failed == 4
    assert len(measured.latency) == 0
    assert error_name(errors[3]) == "timeout"


def test_what_comes_of_unknown_queries_is_ignored() -> None:
    measured = streamed(end_ms=50)
    assert not measured.received(chunk(), 60 * MS)
    assert not measured.received(result(), 60 * MS)
    assert not measured.received(result("other"), 60 * MS)
    assert measured.num_completed == 1
    assert measured.last_ended_ns == 50 * MS


def test_series_tell_when() -> None:
    measured = Measurements(0)
    measured.sent("a", 0, 0)
    measured.sent("b", 0, 150 * MS)
    measured.received(result(usage=usage(4)), 210 * MS)
    assert measured.num_in_flight == 1
    assert measured.series.aligned() == {
        "issued": [1, 1, 0],
        "completed": [0, 0, 1],
        "failed": [0, 0, 0],
        "output_tokens": [0, 0, 4],
    }
