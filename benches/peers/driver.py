"""What every peer of the transport benchmark shares: its task, its clock, its checks.

A peer's file holds one class with four methods and calls `main` with it:

- `receive` binds, checks the first messages, then counts until the meter is done;
- `send` connects and sends until it is ended;
- `ask` connects, checks the first replies, then measures round trips;
- `answer` binds and echoes until it is ended.

Methods may be coroutines, which run on uvloop. `receive` and `ask` print one JSON
object.
"""

import argparse
import inspect
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

NUM_CHECKED = 100
NUM_OUTSTANDING = 64


@dataclass(frozen=True)
class Task:
    """One measurement, as the runner asked for it."""

    endpoint: str
    nbytes: int
    seconds: float
    payload: bytes = field(repr=False)

    @property
    def chunk(self) -> int:
        """Messages between two looks at the clock: 1 MiB of them, 256 at most."""
        return max(1, min(256, (1 << 20) // self.nbytes))

    def numbered(self, index: int) -> bytes:
        """Return the payload of one of the checked messages."""
        return index.to_bytes(8, "big") + self.payload[8:]

    def check(self, index: int, received: Any) -> None:
        """Compare a checked message with what was sent.

        Raises:
            ValueError: It is another one, or damaged.
        """
        if bytes(received) != self.numbered(index):
            msg = f"message {index} of {self.nbytes} bytes did not arrive as sent"
            raise ValueError(msg)

    def meter(self) -> "Meter":
        """Start the clock."""
        return Meter(self.seconds)

    def first_messages(self) -> list[bytes]:
        """Return the messages that are sent to be checked."""
        return [self.numbered(index) for index in range(NUM_CHECKED)]


class Meter:
    """Count messages for a fixed time after a warm-up of a quarter of it."""

    def __init__(self, seconds: float) -> None:
        self._begin = time.perf_counter() + seconds / 4
        self._end = self._begin + seconds
        self._count = 0
        self._counted_from = 0.0
        self.rate = 0.0

    def more(self, count: int) -> bool:
        """Add what came since the last call; return whether to go on."""
        now = time.perf_counter()
        if not self._counted_from:
            if now >= self._begin:
                self._counted_from = now
            return True
        self._count += count
        if now < self._end:
            return True
        self.rate = self._count / (now - self._counted_from)
        return False


class Latencies:
    """Collect round trips one at a time, then many outstanding, for a time each."""

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


def report_rate(meter: Meter) -> None:
    """Print what `receive` measured."""
    print(json.dumps({"rate": meter.rate}), flush=True)


def report_round_trips(latencies: Latencies, meter: Meter) -> None:
    """Print what `ask` measured."""
    result = {
        "p50_us": latencies.quantile_us(0.5),
        "p99_us": latencies.quantile_us(0.99),
        "rate_64": meter.rate,
    }
    print(json.dumps(result), flush=True)


async def ask_with(task: Task, send: Any, recv: Any) -> None:
    """Measure round trips through the coroutines `send(bytes)` and `recv()`."""
    for index, message in enumerate(task.first_messages()):
        await send(message)
        task.check(index, await recv())
    latencies, payload = Latencies(task.seconds), task.payload
    while latencies.more():
        start = time.perf_counter_ns()
        await send(payload)
        await recv()
        latencies.add(time.perf_counter_ns() - start)
    for _ in range(NUM_OUTSTANDING):
        await send(payload)
    meter = task.meter()
    while meter.more(1):
        await recv()
        await send(payload)
    report_round_trips(latencies, meter)


def ask_blocking_with(task: Task, send: Any, recv: Any) -> None:
    """Measure round trips through the blocking `send(bytes)` and `recv()`."""
    for index, message in enumerate(task.first_messages()):
        send(message)
        task.check(index, recv())
    latencies, payload = Latencies(task.seconds), task.payload
    while latencies.more():
        start = time.perf_counter_ns()
        send(payload)
        recv()
        latencies.add(time.perf_counter_ns() - start)
    for _ in range(NUM_OUTSTANDING):
        send(payload)
    meter = task.meter()
    while meter.more(1):
        recv()
        send(payload)
    report_round_trips(latencies, meter)


def main(peer: Any) -> None:
    """Do what the command line asks of `peer`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["send", "receive", "ask", "answer"])
    parser.add_argument("endpoint")
    parser.add_argument("nbytes", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    payload = random.Random(arguments.nbytes).randbytes(arguments.nbytes)
    task = Task(arguments.endpoint, arguments.nbytes, arguments.seconds, payload)
    method = getattr(peer, arguments.role)
    if inspect.iscoroutinefunction(method):
        uvloop.run(method(task))
    else:
        method(task)
