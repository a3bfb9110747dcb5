"""Round trips of one asking side: one at a time, then many outstanding."""

import json
import time
from typing import Any

from driver import Task

NUM_OUTSTANDING = 64


class Latencies:
    """Collect round trips for a time."""

    def __init__(self, seconds: float) -> None:
        self._nanoseconds: list[int] = []
        self._deadline = time.perf_counter() + seconds

    def add(self, nanoseconds: int) -> None:
        """Record one round trip."""
        self._nanoseconds.append(nanoseconds)

    def more(self) -> bool:
        """Return whether there is time left."""
        return time.perf_counter() < self._deadline

    def quantile_us(self, share: float) -> float:
        """Return the round trip in microseconds that `share` of them do not exceed."""
        ordered = sorted(self._nanoseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000

    def as_dict(self) -> dict[str, float]:
        """Return what is reported."""
        return {"p50_us": self.quantile_us(0.5), "p99_us": self.quantile_us(0.99)}


def report(result: dict[str, float]) -> None:
    """Print what was measured."""
    print(json.dumps(result), flush=True)


async def one_at_a_time(task: Task, send: Any, recv: Any) -> dict[str, float]:
    """Measure through the coroutines `send(bytes)` and `recv()`."""
    for index, message in enumerate(task.first_messages()):
        await send(message)
        task.check(index, await recv())
    latencies, payload = Latencies(task.seconds), task.payload
    while latencies.more():
        start = time.perf_counter_ns()
        await send(payload)
        await recv()
        latencies.add(time.perf_counter_ns() - start)
    return latencies.as_dict()


async def ask_with(task: Task, send: Any, recv: Any) -> None:
    """Measure and report one at a time and many outstanding."""
    result, payload = await one_at_a_time(task, send, recv), task.payload
    for _ in range(NUM_OUTSTANDING):
        await send(payload)
    meter = task.meter()
    while meter.more(1):
        await recv()
        await send(payload)
    report({**result, "rate_64": meter.rate})


def one_at_a_time_blocking(task: Task, send: Any, recv: Any) -> dict[str, float]:
    """Measure through the blocking `send(bytes)` and `recv()`."""
    for index, message in enumerate(task.first_messages()):
        send(message)
        task.check(index, recv())
    latencies, payload = Latencies(task.seconds), task.payload
    while latencies.more():
        start = time.perf_counter_ns()
        send(payload)
        recv()
        latencies.add(time.perf_counter_ns() - start)
    return latencies.as_dict()


def ask_blocking_with(task: Task, send: Any, recv: Any) -> None:
    """Measure and report one at a time and many outstanding."""
    result, payload = one_at_a_time_blocking(task, send, recv), task.payload
    for _ in range(NUM_OUTSTANDING):
        send(payload)
    meter = task.meter()
    while meter.more(1):
        recv()
        send(payload)
    report({**result, "rate_64": meter.rate})
