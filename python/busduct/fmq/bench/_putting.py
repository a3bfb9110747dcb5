"""What a producer of a benchmark does."""

import time
from array import array
from typing import Any, Protocol

from busduct.fmq.bench._config import BenchConfig, Mode
from busduct.fmq.bench._control import Produced
from busduct.fmq.bench._pause import Pause
from busduct.fmq.bench._payloads import make_payload

__all__ = ["PutQueue", "Putting"]

_NANOSECONDS = 1_000_000_000


class PutQueue(Protocol):
    """The part of a `Queue` that a producer uses."""

    async def put(self, data: Any, shm_threshold: int = ...) -> int: ...


class Putting:
    """What one producer does.

    Attributes:
        num_put: Messages of the measurement.
    """

    def __init__(self, queue: PutQueue, config: BenchConfig, index: int) -> None:
        self.num_put = 0
        self._queue = queue
        self._config = config
        self._payload = make_payload(config.payload, config.payload_nbytes, index)
        self._puts = array("q")
        self._lags = array("q")
        self._first = self._last = 0.0
        self._cpu = 0.0

    async def warm_up(self) -> None:
        """Put what consumers compare."""
        for _ in range(self._config.num_warmup):
            await self._queue.put(self._payload, self._config.shm_threshold)

    async def measure(self, mode: Mode) -> None:
        """Put the messages of a round. Cancelled, it has what it had by then."""
        self._cpu = time.process_time()
        self._first = time.time()
        if mode == "burst":
            await self._burst()
        else:
            await self._paced()

    def result(self) -> Produced:
        """Return what was measured."""
        cpu_seconds = time.process_time() - self._cpu
        return Produced(
            self._first,
            self._last,
            cpu_seconds,
            self._puts.tobytes(),
            self._lags.tobytes(),
        )

    async def _burst(self) -> None:
        for _ in range(self._config.num_messages):
            await self._put()

    async def _paced(self) -> None:
        interval = _NANOSECONDS / self._config.rate
        pause = Pause()
        try:
            start = time.monotonic_ns()
            for number in range(self._config.num_messages):
                due = start + round(number * interval)
                await pause.until(due)
                self._lags.append(time.monotonic_ns() - due)
                await self._put()
        finally:
            pause.close()

    async def _put(self) -> None:
        before = time.monotonic_ns()
        await self._queue.put(self._payload, self._config.shm_threshold)
        self._puts.append(time.monotonic_ns() - before)
        self._last = time.time()
        self.num_put += 1
