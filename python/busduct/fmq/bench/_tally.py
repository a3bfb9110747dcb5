"""Adds up the rounds of one mode and carrier, and checks that nothing is missing."""

from array import array
from dataclasses import dataclass

from busduct._durations import DurationHistogram
from busduct.errors import WorkerError
from busduct.fmq.bench._config import BenchConfig, Carrier, Mode
from busduct.fmq.bench._control import FromSource
from busduct.fmq.bench._report import (
    CaseReport,
    MemberFigures,
    RoundFigures,
    make_case_report,
)
from busduct.fmq.bench._round import RoundResult

__all__ = ["CaseTally"]


@dataclass
class _MemberTally:
    """What one producer, or one consumer, came to in all rounds."""

    latency: DurationHistogram
    num_messages: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def figures(self, index: int, payload_nbytes: int) -> MemberFigures:
        rate = self.num_messages / self.seconds if self.seconds else 0.0
        return MemberFigures(
            index=index,
            messages=self.num_messages,
            seconds=self.seconds,
            messages_per_second=rate,
            bytes_per_second=rate * payload_nbytes,
            cpu_us_per_message=self.cpu_seconds * 1e6 / max(self.num_messages, 1),
            latency=self.latency.distribution(),
        )


class CaseTally:
    """The rounds of one mode and carrier, as they come."""

    def __init__(self, config: BenchConfig, mode: Mode, carrier: Carrier) -> None:
        self.mode = mode
        self.carrier = carrier
        self._config = config
        self._rounds: list[RoundFigures] = []
        self._latency = DurationHistogram()
        self._put = DurationHistogram()
        self._lag = DurationHistogram()
        self._producers = [
            _MemberTally(DurationHistogram()) for _ in range(config.num_producers)
        ]
        self._consumers = [
            _MemberTally(DurationHistogram()) for _ in range(config.num_consumers)
        ]

    def add(self, result: RoundResult, *, is_whole: bool) -> RoundFigures:
        """Add a round, and return what it came to.

        Args:
            result: Of the round.
            is_whole: It was not ended early, so all that was put must have been got.

        Raises:
            WorkerError: Something is missing, or came twice.
        """
        if is_whole:
            check_complete(self._config, result)
        self._add_producers(result)
        self._add_consumers(result)
        figures = self._round_figures(result)
        self._rounds.append(figures)
        return figures

    def report(self) -> CaseReport | None:
        """Return what all rounds came to; None if there was none."""
        if not self._rounds:
            return None
        nbytes = self._config.payload_nbytes
        return make_case_report(
            mode=self.mode,
            carrier=self.carrier,
            rounds=self._rounds,
            producers=[
                tally.figures(index, nbytes)
                for index, tally in enumerate(self._producers)
            ],
            consumers=[
                tally.figures(index, nbytes)
                for index, tally in enumerate(self._consumers)
            ],
            latency=self._latency,
            put=self._put,
            lag=self._lag,
        )

    def _add_producers(self, result: RoundResult) -> None:
        for tally, produced in zip(self._producers, result.produced, strict=True):
            durations = _integers(produced.puts)
            tally.num_messages += len(durations)
            tally.seconds += max(produced.last - produced.first, 0.0)
            tally.cpu_seconds += produced.cpu_seconds
            self._put.record_many(durations)
            self._lag.record_many(_integers(produced.lags))

    def _add_consumers(self, result: RoundResult) -> None:
        started = min(produced.first for produced in result.produced)
        producers = dict(zip(result.producer_ids, self._producers, strict=True))
        for tally, consumed in zip(self._consumers, result.consumed, strict=True):
            tally.seconds += max(consumed.last - started, 0.0)
            tally.cpu_seconds += consumed.cpu_seconds
            for producer_id, source in consumed.sources.items():
                latencies = _integers(source.latencies)
                tally.num_messages += len(latencies)
                tally.latency.record_many(latencies)
                producers[producer_id].latency.record_many(latencies)
                self._latency.record_many(latencies)

    def _round_figures(self, result: RoundResult) -> RoundFigures:
        started = min(produced.first for produced in result.produced)
        ended = max(consumed.last for consumed in result.consumed)
        num_messages = sum(
            len(source.latencies) // 8
            for consumed in result.consumed
            for source in consumed.sources.values()
        )
        seconds = max(ended - started, 1e-9)
        return RoundFigures(
            messages=num_messages,
            seconds=seconds,
            messages_per_second=num_messages / seconds,
            bytes_per_second=num_messages / seconds * self._config.payload_nbytes,
        )


def check_complete(config: BenchConfig, result: RoundResult) -> None:
    """Check that each message of each producer was got once.

    Raises:
        WorkerError: One was not.
    """
    first_id = config.num_warmup * result.num_warm_ups
    num_messages = config.num_messages
    expected = num_messages * first_id + num_messages * (num_messages - 1) // 2
    for index, producer_id in enumerate(result.producer_ids):
        sources: list[FromSource] = [
            consumed.sources[producer_id]
            for consumed in result.consumed
            if producer_id in consumed.sources
        ]
        num_got = sum(len(source.latencies) // 8 for source in sources)
        total = sum(source.total_of_ids for source in sources)
        if num_got != num_messages or total != expected:
            msg = (
                f"producer {index} put {num_messages} messages, {num_got} were got, "
                "or not each of them once"
            )
            raise WorkerError(msg)


def _integers(data: bytes) -> "array[int]":
    found = array("q")
    found.frombytes(data)
    return found
