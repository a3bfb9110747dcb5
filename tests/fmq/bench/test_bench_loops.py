"""What is measured while messages are put and got."""

import asyncio
import time
from array import array
from dataclasses import dataclass
from typing import Any

import pytest
from tests.processes.conditions import until

from busduct.errors import WorkerError
from busduct.fmq.bench import BenchConfig
from busduct.fmq.bench._getting import Getting
from busduct.fmq.bench._payloads import make_payload
from busduct.fmq.bench._putting import Putting

CONFIG = BenchConfig(num_messages=20, payload_nbytes=1000, num_warmup=3, rate=1000.0)


@dataclass
class Put:
    payload: Any
    msg_id: int
    timestamp: float
    producer_id: str = "ab"


class StandIn:
    """A queue in one process."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.held: asyncio.Queue[Put] = asyncio.Queue()
        self.thresholds: set[int] = set()
        self._seconds = seconds
        self._num_put = 0

    async def put(self, data: Any, shm_threshold: int = 0) -> int:
        end = time.monotonic() + self._seconds
        # NB: timers of uvloop may be early by a millisecond.
        while time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.thresholds.add(shm_threshold)
        self.held.put_nowait(Put(data, self._num_put, time.time()))
        self._num_put += 1
        return self._num_put

    async def get(self) -> Put:
        return await self.held.get()


def integers(data: bytes) -> list[int]:
    found = array("q")
    found.frombytes(data)
    return found.tolist()


async def got_by(getting: Getting, loop: Any, num_messages: int) -> None:
    """Run a loop of a consumer until it has so many."""
    task = asyncio.create_task(loop)
    await until(lambda: getting.num_got + getting.num_compared >= num_messages)
    task.cancel()


async def test_a_burst_is_put_as_fast_as_can_be(any_loop: str) -> None:
    queue = StandIn(0.001)
    putting = Putting(queue, CONFIG, 1)
    before = time.time()
    await putting.measure("burst")
    found = putting.result()
    assert putting.num_put == queue.held.qsize() == 20
    assert queue.thresholds == {CONFIG.shm_threshold}
    assert before <= found.first <= found.last <= time.time()
    puts = integers(found.puts)
    assert len(puts) == 20
    assert min(puts) >= 999_000
    assert sum(puts) / 1e9 <= found.last - found.first + 0.01
    assert found.lags == b""
    assert found.cpu_seconds > 0


async def test_a_pace_is_kept(any_loop: str) -> None:
    queue = StandIn()
    putting = Putting(queue, CONFIG, 1)
    await putting.measure("paced")
    found = putting.result()
    held = [queue.held.get_nowait() for _ in range(20)]
    # The last is due 19 ms after the first, and none is early.
    assert found.last - found.first >= 0.019
    for number, message in enumerate(held):
        assert message.timestamp - found.first >= number * 0.001 - 0.0005
    lags = integers(found.lags)
    assert len(lags) == 20
    # A time in seconds is right to some nanoseconds.
    assert min(lags) > -1000


async def test_a_warm_up_is_compared_and_not_measured(any_loop: str) -> None:
    queue = StandIn()
    await Putting(queue, CONFIG, 7).warm_up()
    getting = Getting(queue, CONFIG)
    await got_by(getting, getting.compare(), 3)
    assert getting.num_compared == 3
    assert getting.producers == {"ab": 7}
    assert getting.num_got == 0
    assert getting.result().sources == {}


async def test_a_warm_up_that_differs_ends_the_consumer() -> None:
    queue = StandIn()
    await queue.put(make_payload("bytes", 1000, 1)[::-1])
    with pytest.raises(WorkerError, match="is not the 1000 that were put"):
        await Getting(queue, CONFIG).compare()


async def test_messages_are_measured_by_their_producer(any_loop: str) -> None:
    queue = StandIn()
    now = time.time()
    payload = make_payload("bytes", 1000, 1)
    for number in range(6):
        queue.held.put_nowait(Put(payload, number, now - 2.0, "ab"))
    queue.held.put_nowait(Put(payload, 11, now - 1.0, "cd"))
    getting = Getting(queue, CONFIG)
    await got_by(getting, getting.measure(), 7)
    found = getting.result()
    assert set(found.sources) == {"ab", "cd"}
    assert found.sources["ab"].total_of_ids == 15
    assert found.sources["cd"].total_of_ids == 11
    latencies = integers(found.sources["ab"].latencies)
    assert len(latencies) == 6
    assert 2.0e9 <= min(latencies) <= max(latencies) < 2.0e9 + (time.time() - now) * 1e9
    assert now <= found.last <= time.time()


async def test_a_message_of_another_size_ends_the_consumer() -> None:
    queue = StandIn()
    await queue.put(make_payload("bytes", 999, 1))
    with pytest.raises(WorkerError, match="999 bytes, 1000 were put"):
        await Getting(queue, CONFIG).measure()
