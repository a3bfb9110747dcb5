"""What a consumer of a benchmark does."""

import time
from array import array
from typing import Any, Protocol

from busduct.errors import WorkerError
from busduct.fmq.bench._config import BenchConfig
from busduct.fmq.bench._control import Consumed, FromSource
from busduct.fmq.bench._payloads import body_of, check_payload

__all__ = ["GetQueue", "Getting", "ReceivedMessage"]

_NANOSECONDS = 1_000_000_000


class ReceivedMessage(Protocol):
    """The part of a `Message` that is looked at."""

    @property
    def payload(self) -> Any: ...
    @property
    def msg_id(self) -> int | None: ...
    @property
    def timestamp(self) -> float: ...
    @property
    def producer_id(self) -> str | None: ...


class GetQueue(Protocol):
    """The part of a `Queue` that a consumer uses."""

    async def get(self) -> ReceivedMessage | None: ...


class Getting:
    """What one consumer does.

    Attributes:
        num_compared: Messages of the warm-up.
        producers: The index of each producer whose warm-up came, by its id.
        num_got: Messages of the measurement.
    """

    def __init__(self, queue: GetQueue, config: BenchConfig) -> None:
        self.num_compared = 0
        self.num_got = 0
        self.producers: dict[str, int] = {}
        self._queue = queue
        self._config = config
        self._latencies: dict[str, array[int]] = {}
        self._totals: dict[str, int] = {}
        self._last = 0.0
        self._cpu = 0.0

    async def compare(self) -> None:
        """Compare messages with what was put, until cancelled.

        Raises:
            WorkerError: One differs.
        """
        config = self._config
        while True:
            message = await self._get()
            producer_id = str(message.producer_id)
            self.producers[producer_id] = check_payload(
                config.payload, config.payload_nbytes, message.payload
            )
            self.num_compared += 1

    async def measure(self) -> None:
        """Get messages, until cancelled.

        Raises:
            WorkerError: One has another size than was put.
        """
        kind, nbytes = self._config.payload, self._config.payload_nbytes
        clock = time.time
        self._cpu = time.process_time()
        while True:
            message = await self._get()
            now = clock()
            body = body_of(kind, message.payload)
            if len(body) != nbytes:
                msg = f"a payload has {len(body)} bytes, {nbytes} were put"
                raise WorkerError(msg)
            self._note(message, now)

    def result(self) -> Consumed:
        """Return what was measured."""
        sources = {
            producer_id: FromSource(latencies.tobytes(), self._totals[producer_id])
            for producer_id, latencies in self._latencies.items()
        }
        cpu_seconds = time.process_time() - self._cpu
        return Consumed(self._last, cpu_seconds, sources)

    async def _get(self) -> ReceivedMessage:
        message = await self._queue.get()
        assert message is not None, "without a timeout there is none"
        return message

    def _note(self, message: ReceivedMessage, now: float) -> None:
        producer_id = message.producer_id or ""
        latencies = self._latencies.get(producer_id)
        if latencies is None:
            latencies = self._latencies[producer_id] = array("q")
            self._totals[producer_id] = 0
        latencies.append(int((now - message.timestamp) * _NANOSECONDS))
        self._totals[producer_id] += message.msg_id or 0
        self._last = now
        self.num_got += 1
