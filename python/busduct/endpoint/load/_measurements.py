"""What is measured of the queries that were sent (no I/O)."""

from collections import Counter
from dataclasses import dataclass

from busduct._durations import DurationHistogram
from busduct.endpoint.load._series import Samples, TimeSeries
from busduct.messages import ErrorData, QueryResult, StreamChunk

__all__ = ["Measurements", "error_name"]


@dataclass(slots=True)
class _Flight:
    """A query that is under way; times are of the monotonic clock, in nanoseconds."""

    scheduled_ns: int
    first_ns: int = 0
    last_ns: int = 0
    num_chunks: int = 0


class Measurements:
    """Follows each query by its id.

    Latencies count from when a query was due, whether or not it could be sent then: a
    service that holds up the sender does not look faster for it ("coordinated
    omission").

    Args:
        start_ns: Of the measurement.

    Attributes:
        latency: From when a query was due to its end; of those that succeeded.
        ttft: From when it was due to its first chunk; of streams.
        tpot: From its first chunk to its last, by its tokens less one.
        itl: From one chunk of a stream to the next.
        send_lag: From when a query was due to when it was sent.
        delivery_lag: From when a worker had a result to when it was looked at here: by
            so much are the other times too long. Of those that succeeded.
        errors: How many failed, by `error_name`.
        error_texts: The first text of each of these.
        num_issued: Queries that were sent.
        num_completed: Those that succeeded.
        num_input_tokens: Of those that succeeded, as the endpoint tells it.
        num_output_tokens: The same; of a stream that does not tell, its chunks.
        num_chunks: Of all streams.
        num_counted_by_usage: Those that succeeded and told their tokens.
        num_counted_by_chunks: Those whose tokens are the number of chunks.
        last_sent_ns: When the last query was sent.
        last_ended_ns: When the last query ended.
    """

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.latency = DurationHistogram()
        self.ttft = DurationHistogram()
        self.tpot = DurationHistogram()
        self.itl = DurationHistogram()
        self.send_lag = DurationHistogram()
        self.delivery_lag = DurationHistogram()
        self.errors: Counter[str] = Counter()
        self.error_texts: dict[str, str] = {}
        self.num_issued = 0
        self.num_completed = 0
        self.num_input_tokens = 0
        self.num_output_tokens = 0
        self.num_chunks = 0
        self.num_counted_by_usage = 0
        self.num_counted_by_chunks = 0
        self.last_sent_ns = start_ns
        self.last_ended_ns = start_ns
        self.series = TimeSeries("issued", "completed", "failed", "output_tokens")
        self.ttft_samples = Samples()
        self._flights: dict[str, _Flight] = {}

    @property
    def num_in_flight(self) -> int:
        """Queries that were sent and have not ended."""
        return len(self._flights)

    @property
    def num_failed(self) -> int:
        """Queries that ended with an error."""
        return self.errors.total()

    def sent(self, query_id: str, scheduled_ns: int, now_ns: int) -> None:
        """Note that a query was sent, and when it was due."""
        self._flights[query_id] = _Flight(scheduled_ns)
        self.num_issued += 1
        self.last_sent_ns = now_ns
        self.send_lag.record(now_ns - scheduled_ns)
        self.series.add("issued", now_ns - self.start_ns)

    def received(self, item: StreamChunk | QueryResult, now_ns: int) -> bool:
        """Note what came of a query.

        Returns:
            Whether the query has ended by this. What comes of queries that are not
            known, because they ended, is ignored.
        """
        if isinstance(item, StreamChunk):
            flight = self._flights.get(item.id)
            if flight is not None:
                self._note_chunk(flight, now_ns)
            return False
        ended = self._flights.pop(item.id, None)
        if ended is None:
            return False
        self.last_ended_ns = now_ns
        if item.error is None:
            self._note_success(ended, item, now_ns)
        else:
            self._note_error(item.error, now_ns)
        return True

    def _note_chunk(self, flight: _Flight, now_ns: int) -> None:
        if flight.num_chunks:
            self.itl.record(now_ns - flight.last_ns)
        else:
            flight.first_ns = now_ns
            ttft_ns = now_ns - flight.scheduled_ns
            self.ttft.record(ttft_ns)
            self.ttft_samples.add(now_ns - self.start_ns, ttft_ns)
        flight.last_ns = now_ns
        flight.num_chunks += 1
        self.num_chunks += 1

    def _note_success(self, flight: _Flight, result: QueryResult, now_ns: int) -> None:
        self.num_completed += 1
        self.latency.record(now_ns - flight.scheduled_ns)
        self.delivery_lag.record(now_ns - result.completed_at)
        num_tokens = self._count_tokens(flight, result)
        if flight.num_chunks > 1 and num_tokens > 1:
            self.tpot.record((flight.last_ns - flight.first_ns) // (num_tokens - 1))
        offset_ns = now_ns - self.start_ns
        self.series.add("completed", offset_ns)
        self.series.add("output_tokens", offset_ns, num_tokens)

    def _note_error(self, error: ErrorData, now_ns: int) -> None:
        name = error_name(error)
        self.errors[name] += 1
        self.error_texts.setdefault(name, error.error_message)
        self.series.add("failed", now_ns - self.start_ns)

    def _count_tokens(self, flight: _Flight, result: QueryResult) -> int:
        given = result.metadata.get("usage")
        usage = given if isinstance(given, dict) else {}
        told = usage.get("completion_tokens")
        if isinstance(told, int) and told >= 0:
            num_tokens = told
            self.num_counted_by_usage += 1
            told_input = usage.get("prompt_tokens")
            self.num_input_tokens += told_input if isinstance(told_input, int) else 0
        else:
            num_tokens = flight.num_chunks
            self.num_counted_by_chunks += num_tokens > 0
        self.num_output_tokens += num_tokens
        return num_tokens


def error_name(error: ErrorData) -> str:
    """Return what errors of its kind are counted as."""
    if error.status is None:
        return error.error_type
    return f"{error.error_type} {error.status}"
