"""How a run is going, at a glance (no I/O)."""

from dataclasses import dataclass

from busduct.endpoint.load._measurements import Measurements

__all__ = ["Progress", "ProgressMeter"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A look at a run; rates are of the time since the last look.

    Attributes:
        seconds: Since the start.
        num_issued: Requests sent.
        num_completed: Ended well.
        num_failed: Ended with an error.
        num_in_flight: Under way.
        requests_per_second: That ended well.
        tokens_per_second: Of those.
        latency_p50: Milliseconds, of the whole run; None while there is none.
        ttft_p50: The same, to the first event.
        tpot_p50: The same, per token.
    """

    seconds: float
    num_issued: int
    num_completed: int
    num_failed: int
    num_in_flight: int
    requests_per_second: float
    tokens_per_second: float
    latency_p50: float | None
    ttft_p50: float | None
    tpot_p50: float | None


class ProgressMeter:
    """Looks at measurements again and again.

    Args:
        measured: Of the run.
    """

    def __init__(self, measured: Measurements) -> None:
        self._measured = measured
        self._last = (measured.start_ns, 0, 0)

    def read(self, now_ns: int) -> Progress:
        """Return how it is going."""
        measured = self._measured
        then_ns, num_completed, num_tokens = self._last
        seconds = max(now_ns - then_ns, 1) / 1e9
        self._last = (now_ns, measured.num_completed, measured.num_output_tokens)
        return Progress(
            seconds=(now_ns - measured.start_ns) / 1e9,
            num_issued=measured.num_issued,
            num_completed=measured.num_completed,
            num_failed=measured.num_failed,
            num_in_flight=measured.num_in_flight,
            requests_per_second=(measured.num_completed - num_completed) / seconds,
            tokens_per_second=(measured.num_output_tokens - num_tokens) / seconds,
            latency_p50=measured.latency.percentile_ms(50),
            ttft_p50=measured.ttft.percentile_ms(50),
            tpot_p50=measured.tpot.percentile_ms(50),
        )
