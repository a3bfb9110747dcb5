"""One run of load after the other, each with other numbers."""

from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import msgspec

from busduct._version import __version__
from busduct.endpoint.load._config import LoadConfig
from busduct.endpoint.load._lengths import Lengths
from busduct.endpoint.load._report import LoadReport
from busduct.endpoint.load._run import LoadRun
from busduct.errors import ConfigError

__all__ = ["SWEPT", "LoadSweep", "SweepPoint", "SweepReport"]

_MAX_RUNS = 1000
# What may vary, as `SweepPoint` calls it.
SWEPT = ("workers", "connections", "input_length")


class SweepPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep.

    Attributes:
        workers: Processes of the client; None if it was not varied.
        connections: Of all of them; None if it was not varied.
        input_length: Words of a prompt; None if it was not varied.
        report: Of the run.
    """

    workers: int | None
    connections: int | None
    input_length: int | None
    report: LoadReport


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep came to.

    Attributes:
        format: Of this object.
        version: Of busduct.
        interrupted: Whether it was ended early; the last point may then be part of one.
        points: One per run, in the order they were made.
    """

    format: Literal["busduct.sweep/1"] = "busduct.sweep/1"
    version: str = __version__
    interrupted: bool
    points: list[SweepPoint]

    def to_json(self) -> bytes:
        """Return it as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class LoadSweep:
    """Runs every combination of the numbers given.

    Args:
        config: Of each run, but for what varies.
        workers: Numbers of processes; empty for what `config` says.
        connections: Numbers of connections; the same.
        input_lengths: Lengths of prompts; the same.
        on_point: Called with each run's outcome.
        make_run: Makes a run; for tests.

    Attributes:
        on_point: As given; may be set until `run` is called.

    Raises:
        ConfigError: More runs than anybody would wait for, or one that cannot be made.
    """

    def __init__(
        self,
        config: LoadConfig,
        *,
        workers: list[int],
        connections: list[int],
        input_lengths: list[int],
        on_point: Callable[[SweepPoint], None] | None = None,
        make_run: Callable[[LoadConfig], LoadRun] = LoadRun,
    ) -> None:
        axes: tuple[list[Any], ...] = (workers, connections, input_lengths)
        self._combinations = list(product(*(axis or [None] for axis in axes)))
        if len(self._combinations) > _MAX_RUNS:
            msg = f"{len(self._combinations)} runs exceed limit of {_MAX_RUNS}"
            raise ConfigError(msg)
        # All at once, so that what is wrong with the last is told before the first.
        self._runs = [
            make_run(_varied(config, *combination))
            for combination in self._combinations
        ]
        self.on_point = on_point
        self._current: LoadRun | None = None
        self._is_stopped = False

    def __len__(self) -> int:
        return len(self._runs)

    async def run(self) -> SweepReport:
        """Make all runs, and return what they came to.

        Raises:
            BusductError: A client did not start, or could not go on.
            ImportError: An extra is missing.
        """
        points: list[SweepPoint] = []
        for combination, run in zip(self._combinations, self._runs, strict=True):
            if self._is_stopped:
                break
            self._current = run
            report = await run.run()
            point = SweepPoint(
                **dict(zip(SWEPT, combination, strict=True)), report=report
            )
            points.append(point)
            if self.on_point is not None:
                self.on_point(point)
        return SweepReport(interrupted=self._is_stopped, points=points)

    def stop(self) -> None:
        """End the run that is under way, and make no more. Idempotent."""
        self._is_stopped = True
        if self._current is not None:
            self._current.stop()


def _varied(
    config: LoadConfig,
    workers: int | None,
    connections: int | None,
    input_length: int | None,
) -> LoadConfig:
    given: dict[str, Any] = {
        "num_workers": workers,
        "num_connections": connections,
        "input_lengths": None
        if input_length is None
        else Lengths("fixed", input_length),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(config, **changes)
