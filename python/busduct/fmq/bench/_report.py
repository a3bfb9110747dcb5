"""What a benchmark came to, as it is shown and as JSON (no I/O)."""

from datetime import UTC, datetime
from statistics import median
from typing import Literal

import msgspec

from busduct._durations import Distribution, DurationHistogram
from busduct._version import __version__
from busduct.fmq.bench._config import BenchConfig, Carrier, Mode

__all__ = [
    "BenchReport",
    "CaseReport",
    "MemberFigures",
    "RoundFigures",
    "make_case_report",
    "make_report",
]


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One round.

    Attributes:
        messages: That were got.
        seconds: From the first `put` to the last `get`.
        messages_per_second: Of those.
        bytes_per_second: The same in bytes of payload.
    """

    messages: int
    seconds: float
    messages_per_second: float
    bytes_per_second: float


class MemberFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One producer or consumer, over all rounds.

    Attributes:
        index: Which one.
        messages: Put, or got.
        seconds: Of a producer from its first `put` to the end of its last; of a
            consumer from the first `put` of any to its last `get`.
        messages_per_second: Of those.
        bytes_per_second: The same in bytes of payload.
        cpu_us_per_message: Microseconds that its process computed for each of them.
        latency: Of those messages; without a curve.
    """

    index: int
    messages: int
    seconds: float
    messages_per_second: float
    bytes_per_second: float
    cpu_us_per_message: float
    latency: Distribution | None


class CaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """One mode and carrier. Distributions are of all rounds, in milliseconds.

    Attributes:
        mode: ``burst`` or ``paced``.
        carrier: ``shm`` or ``kernel``.
        rounds: Each of them.
        messages_per_second: The median of the rounds.
        bytes_per_second: The same in bytes of payload.
        producers: Each of them.
        consumers: Each of them.
        latency: From `Message.timestamp`, when a message was put, to when it was got.
        put: What a `put` took.
        send_lag: From when a message was due to its `put`; None of a burst.
        histogram: Of the latency: the bounds of each bin in milliseconds, and how many
            messages lie between.
    """

    mode: Mode
    carrier: Carrier
    rounds: list[RoundFigures]
    messages_per_second: float
    bytes_per_second: float
    producers: list[MemberFigures]
    consumers: list[MemberFigures]
    latency: Distribution | None
    put: Distribution | None
    send_lag: Distribution | None
    histogram: list[tuple[float, float, int]]


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark came to.

    Attributes:
        format: Of this object; grows when a field changes its meaning.
        version: Of busduct.
        backend: ``rust`` or ``python``.
        started_at: In UTC.
        settings: What was asked for.
        interrupted: Whether it was ended early.
        cases: Each mode and carrier of which there is a round, in the order asked for.
    """

    format: Literal["busduct.fmq_bench/1"] = "busduct.fmq_bench/1"
    version: str
    backend: str
    started_at: str
    settings: BenchConfig
    interrupted: bool
    cases: list[CaseReport]

    def to_json(self) -> bytes:
        """Return it as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def make_case_report(
    *,
    mode: Mode,
    carrier: Carrier,
    rounds: list[RoundFigures],
    producers: list[MemberFigures],
    consumers: list[MemberFigures],
    latency: DurationHistogram,
    put: DurationHistogram,
    lag: DurationHistogram,
) -> CaseReport:
    """Return what the rounds of one mode and carrier came to."""
    return CaseReport(
        mode=mode,
        carrier=carrier,
        rounds=list(rounds),
        messages_per_second=median(each.messages_per_second for each in rounds),
        bytes_per_second=median(each.bytes_per_second for each in rounds),
        producers=[_without_curve(each) for each in producers],
        consumers=[_without_curve(each) for each in consumers],
        latency=latency.distribution(),
        put=put.distribution(),
        send_lag=lag.distribution(),
        histogram=latency.bins(),
    )


def make_report(
    config: BenchConfig,
    cases: list[CaseReport],
    *,
    backend: str,
    started_at: float,
    interrupted: bool,
) -> BenchReport:
    """Return the report of a benchmark.

    Args:
        config: What was asked for.
        cases: What came of it.
        backend: Which one carried it.
        started_at: Seconds since 1970.
        interrupted: Whether it was ended early.
    """
    return BenchReport(
        version=__version__,
        backend=backend,
        started_at=datetime.fromtimestamp(started_at, UTC).isoformat("T", "seconds"),
        settings=config,
        interrupted=interrupted,
        cases=cases,
    )


def _without_curve(figures: MemberFigures) -> MemberFigures:
    if figures.latency is None:
        return figures
    latency = msgspec.structs.replace(figures.latency, curve=[])
    return msgspec.structs.replace(figures, latency=latency)
