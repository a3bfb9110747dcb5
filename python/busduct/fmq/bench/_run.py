"""A whole benchmark: rounds of each mode and carrier, in turn, and their report."""

import time
from collections.abc import Callable

from busduct._backend import load_backend
from busduct.errors import ConfigError
from busduct.fmq.bench._config import BenchConfig
from busduct.fmq.bench._progress import BenchProgress
from busduct.fmq.bench._report import BenchReport, make_report
from busduct.fmq.bench._round import Round
from busduct.fmq.bench._tally import CaseTally

__all__ = ["BenchRun"]


class BenchRun:
    """One benchmark; `run` may be called once.

    Args:
        config: What to do.
        on_progress: Called while it runs, and at the end of each round.

    Raises:
        ConfigError: Shared memory is asked for, and the backend has none.
    """

    def __init__(
        self,
        config: BenchConfig,
        *,
        on_progress: Callable[[BenchProgress], None] | None = None,
    ) -> None:
        self._config = config
        self._on_progress = on_progress
        self._backend = load_backend().BACKEND
        self._round: Round | None = None
        self._is_stopped = False
        if "shm" in config.carriers and self._backend == "python":
            msg = (
                "carriers are shm and others, which the pure-Python backend does not "
                "have: leave kernel alone, or install the extension"
            )
            raise ConfigError(msg)

    async def run(self) -> BenchReport:
        """Measure, and return the report.

        The rounds of different modes and carriers alternate, so that what else the
        machine does is shared by them. Cancelled or failed, no process is left.

        Raises:
            WorkerError: A process failed, or got other messages than were put, or a
                round took too long.
        """
        started_at = time.time()
        config = self._config
        tallies = [
            CaseTally(config, mode, carrier)
            for mode in config.modes
            for carrier in config.carriers
        ]
        for number in range(1, config.num_rounds + 1):
            for tally in tallies:
                if not self._is_stopped:
                    await self._measure(tally, number)
        cases = [report for tally in tallies if (report := tally.report())]
        return make_report(
            config,
            cases,
            backend=self._backend,
            started_at=started_at,
            interrupted=self._is_stopped,
        )

    def stop(self) -> None:
        """End it early, with a report of what was measured. Idempotent."""
        self._is_stopped = True
        if self._round is not None:
            self._round.stop()

    async def _measure(self, tally: CaseTally, number: int) -> None:
        def tell(num_put: list[int], num_got: list[int]) -> None:
            self._tell(tally, number, num_put, num_got, None)

        self._round = Round(self._config, tally.carrier, tally.mode, tell)
        result = await self._round.run()
        if result is None:
            return
        figures = tally.add(result, is_whole=not self._is_stopped)
        self._tell(tally, number, [], [], figures.messages_per_second)

    def _tell(
        self,
        tally: CaseTally,
        number: int,
        num_put: list[int],
        num_got: list[int],
        rate: float | None,
    ) -> None:
        if self._on_progress is None:
            return
        self._on_progress(
            BenchProgress(
                mode=tally.mode,
                carrier=tally.carrier,
                number=number,
                num_rounds=self._config.num_rounds,
                num_put=num_put,
                num_got=num_got,
                rate=rate,
            )
        )
