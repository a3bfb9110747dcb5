"""What a run came to, as it is shown and as JSON (no I/O)."""

from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from busduct._durations import Distribution
from busduct._version import __version__
from busduct.endpoint.load._config import LoadConfig
from busduct.endpoint.load._measurements import Measurements

__all__ = [
    "LoadReport",
    "LoadSettings",
    "RequestCounts",
    "Throughput",
    "TimeSteps",
    "TokenCounts",
    "make_report",
]

CountedBy: TypeAlias = Literal["usage", "events", "both", "nothing"]

_NANOSECONDS = 1e9
_MILLISECOND = 1e6


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; see `LoadConfig`."""

    url: str
    api: str
    model: str | None
    dataset: str | None
    input_lengths: str | None
    output_lengths: str | None
    rate: float | None
    arrival: str | None
    concurrency: int | None
    num_requests: int | None
    duration: float | None
    num_warmup: int
    num_workers: int | None
    num_connections: int | None
    stream: bool
    timeout: float
    seed: int


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of the measurement.

    Attributes:
        issued: Sent.
        completed: Ended well.
        failed: Ended with an error.
        unfinished: Still under way when the run was interrupted.
        errors: The failed, by the error's type and, if there was one, HTTP status.
        error_texts: The first text of each of these.
    """

    issued: int
    completed: int
    failed: int
    unfinished: int
    errors: dict[str, int]
    error_texts: dict[str, str]


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of the requests that ended well.

    Attributes:
        input: As the endpoint tells them; None if it does not.
        output: As the endpoint tells them or, of a stream that does not, its events.
        counted_by: Which of these it was.
    """

    input: int | None
    output: int
    counted_by: CountedBy


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Per second, from the start to the end of the last request.

    Attributes:
        offered_requests: Sent, from the start until the last was sent.
        requests: Ended well.
        output_tokens: Of those.
        events: Chunks of streams.
    """

    offered_requests: float
    requests: float
    output_tokens: float
    events: float


class TimeSteps(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in each step of time; tokens count when their request ends.

    Attributes:
        width: Of a step, in seconds.
        issued: Requests that were sent.
        completed: Requests that ended well.
        failed: Requests that ended with an error.
        output_tokens: Of those that ended well.
        ttft_samples: Pairs of seconds from the start and a TTFT in milliseconds; all
            of them, or some, evenly spread.
    """

    width: float
    issued: list[int]
    completed: list[int]
    failed: list[int]
    output_tokens: list[int]
    ttft_samples: list[tuple[float, float]]


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. Distributions are None where nothing was measured.

    Attributes:
        format: Of this object; grows when a field changes its meaning.
        version: Of busduct.
        started_at: When the measurement began, in UTC.
        settings: What was asked for.
        interrupted: Whether it was ended early.
        seconds: From the start to the end of the last request.
        requests: How many, and how they ended.
        tokens: How many.
        throughput: Per second.
        latency: Milliseconds from when a request was due to its end.
        ttft: From when it was due to its first event.
        tpot: From its first event to its last, by its tokens less one.
        itl: From one event to the next.
        send_lag: From when it was due to when it was sent.
        delivery_lag: From when a worker had its result to when that was measured: by so
            much are the other times too long.
        steps: Over time.
    """

    format: Literal["busduct.load/1"] = "busduct.load/1"
    version: str
    started_at: str
    settings: LoadSettings
    interrupted: bool
    seconds: float
    requests: RequestCounts
    tokens: TokenCounts
    throughput: Throughput
    latency: Distribution | None
    ttft: Distribution | None
    tpot: Distribution | None
    itl: Distribution | None
    send_lag: Distribution | None
    delivery_lag: Distribution | None
    steps: TimeSteps

    def to_json(self) -> bytes:
        """Return it as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def make_report(
    config: LoadConfig,
    measured: Measurements,
    *,
    started_at: float,
    end_ns: int,
    interrupted: bool,
) -> LoadReport:
    """Return the report of a run.

    Args:
        config: What was asked for.
        measured: What came of it.
        started_at: When it began, in seconds since 1970.
        end_ns: When it ended, by the clock of `measured`.
        interrupted: Whether it was ended early.
    """
    # A run that was interrupted lasted until then; any other until its last end.
    last_ns = end_ns if interrupted else measured.last_ended_ns
    seconds = max(last_ns - measured.start_ns, 1) / _NANOSECONDS
    return LoadReport(
        version=__version__,
        started_at=datetime.fromtimestamp(started_at, UTC).isoformat("T", "seconds"),
        settings=_settings(config),
        interrupted=interrupted,
        seconds=seconds,
        requests=_requests(measured),
        tokens=_tokens(measured),
        throughput=_throughput(measured, seconds),
        latency=measured.latency.distribution(),
        ttft=measured.ttft.distribution(),
        tpot=measured.tpot.distribution(),
        itl=measured.itl.distribution(),
        send_lag=measured.send_lag.distribution(),
        delivery_lag=measured.delivery_lag.distribution(),
        steps=_steps(measured),
    )


def _settings(config: LoadConfig) -> LoadSettings:
    made_up = config.dataset is None
    lengths = config.output_lengths
    return LoadSettings(
        url=config.url,
        api=config.api,
        model=config.model,
        dataset=None if config.dataset is None else str(config.dataset),
        input_lengths=str(config.input_lengths) if made_up else None,
        output_lengths=None if lengths is None else str(lengths),
        rate=config.rate,
        arrival=None if config.rate is None else config.arrival,
        concurrency=config.max_in_flight,
        num_requests=config.num_requests,
        duration=config.duration,
        num_warmup=config.num_warmup,
        num_workers=config.num_workers,
        num_connections=config.num_connections,
        stream=config.stream,
        timeout=config.timeout,
        seed=config.seed,
    )


def _requests(measured: Measurements) -> RequestCounts:
    return RequestCounts(
        issued=measured.num_issued,
        completed=measured.num_completed,
        failed=measured.num_failed,
        unfinished=measured.num_in_flight,
        errors=dict(measured.errors.most_common()),
        error_texts=measured.error_texts,
    )


def _throughput(measured: Measurements, seconds: float) -> Throughput:
    sending = (measured.last_sent_ns - measured.start_ns) / _NANOSECONDS
    return Throughput(
        # All at once is no rate.
        offered_requests=measured.num_issued / max(sending, 1e-3),
        requests=measured.num_completed / seconds,
        output_tokens=measured.num_output_tokens / seconds,
        events=measured.num_chunks / seconds,
    )


def _tokens(measured: Measurements) -> TokenCounts:
    by_usage = measured.num_counted_by_usage > 0
    by_events = measured.num_counted_by_chunks > 0
    counted_by: CountedBy = "usage" if by_usage else "events"
    if by_usage == by_events:
        counted_by = "both" if by_usage else "nothing"
    return TokenCounts(
        input=measured.num_input_tokens if by_usage else None,
        output=measured.num_output_tokens,
        counted_by=counted_by,
    )


def _steps(measured: Measurements) -> TimeSteps:
    counts = measured.series.aligned()
    return TimeSteps(
        width=measured.series.width_ns / _NANOSECONDS,
        issued=counts["issued"],
        completed=counts["completed"],
        failed=counts["failed"],
        output_tokens=counts["output_tokens"],
        ttft_samples=[
            (when / _NANOSECONDS, value / _MILLISECOND)
            for when, value in measured.ttft_samples.values
        ],
    )
