"""What every peer of the queue benchmark shares: its roles, its clock, its checks.

A peer's file has two asynchronous context managers, and calls `main` with them:

- `producing(task)` gives an awaitable call that puts a payload into the queue;
- `consuming(task)` gives one that takes the next, and returns it.

They find each other in `task.directory`, where nothing is at first. The roles:

- `consume` counts what `produce` puts, and looks how long each was on its way: all as
  fast as they go, or so many a second;
- `many` does the counting of several producers and consumers, which it starts.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop
from queue_task import COUNTERS, GO, NUM_CHECKED, Board, Task

PATIENCE_S = 30.0
# Messages between two looks at the shared counter.
CHUNK = 32

Ends = Callable[[Task], contextlib.AbstractAsyncContextManager[Callable[..., Any]]]


async def produce(task: Task, producing: Ends) -> None:
    """Put what is checked; then, when that was taken, what is measured."""
    board = Board(task)
    async with producing(task) as put:
        for index in range(NUM_CHECKED):
            await put(task.numbered(index))
        while not board.words[GO]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await put_all(task, board, put)
        await asyncio.sleep(PATIENCE_S)


async def put_all(
    task: Task, board: Board, put: Callable[[bytes], Awaitable[Any]]
) -> None:
    """Put as many as are counted, each at its time."""
    payload, times, clock = task.payload, board.times, time.perf_counter_ns
    wait = 1 / task.pace if task.pace else 0.0
    for index in range(task.count):
        if wait:
            await asyncio.sleep(wait)
        times[index] = clock()
        await put(payload)


async def consume(task: Task, consuming: Ends, *, views: bool) -> None:
    """Take what is put, and report rate and latencies."""
    board = Board(task)
    async with consuming(task) as get:
        for index in range(NUM_CHECKED):
            task.check(index, await get())
        board.words[GO] = 1
        latencies = await (view_all if views else take_all)(task, board, get)
    span = time.perf_counter_ns() - board.times[0]
    found = {
        "rate": task.count * 1e9 / span,
        "mean_us": statistics.fmean(latencies) / 1e3,
        "p50_us": statistics.median(latencies) / 1e3,
        "p99_us": statistics.quantiles(latencies, n=100)[98] / 1e3,
    }
    print(json.dumps(found), flush=True)


async def take_all(
    task: Task, board: Board, get: Callable[[], Awaitable[Any]]
) -> list[int]:
    """Take messages as objects of their own; return how long each was on its way."""
    times, clock, latencies = board.times, time.perf_counter_ns, []
    for index in range(task.count):
        await get()
        latencies.append(clock() - times[index])
    return latencies


async def view_all(
    task: Task, board: Board, get: Callable[[], Awaitable[Any]]
) -> list[int]:
    """As `take_all`, and read each message's first byte and its last."""
    times, clock, latencies = board.times, time.perf_counter_ns, []
    for index in range(task.count):
        view = await get()
        view[0] ^ view[-1]
        del view
        latencies.append(clock() - times[index])
    return latencies


async def produce_many(task: Task, producing: Ends) -> None:
    """Put without end."""
    async with producing(task) as put:
        payload = task.payload
        while True:
            await put(payload)


async def consume_many(task: Task, consuming: Ends) -> None:
    """Take without end, and count."""
    board = Board(task)
    async with consuming(task) as get:
        if bytes(await get()) != task.payload:
            sys.exit("a message did not arrive as sent")
        while True:
            for _ in range(CHUNK):
                await get()
            board.words[COUNTERS + task.index] += CHUNK


def many(task: Task) -> None:
    """Start producers and consumers, and report what they do together."""
    board = Board(task)
    kinds = ("consume_many", task.num_consumers), ("produce_many", task.num_producers)
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(started_as(role, index))
            for role, count in kinds
            for index in range(count)
        ]
        deadline = time.monotonic() + PATIENCE_S
        while board.num_counting() < task.num_consumers:
            if time.monotonic() > deadline or any(each.poll() for each in started):
                sys.exit("not every consumer got something")
            time.sleep(0.01)
        print(json.dumps({"rate": board.rate(task.seconds)}), flush=True)


@contextlib.contextmanager
def started_as(role: str, index: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run this peer in another role, until the end of the block."""
    program = [sys.executable, sys.argv[0], role, *sys.argv[2:], "--index", str(index)]
    with subprocess.Popen(program) as process:
        try:
            yield process
        finally:
            process.kill()


def main(producing: Ends, consuming: Ends, *, views: bool = False) -> None:
    """Do what the command line asks of a peer."""
    parser = argparse.ArgumentParser()
    roles = ("produce", "consume", "many", "produce_many", "consume_many")
    parser.add_argument("role", choices=roles)
    parser.add_argument("directory", type=Path)
    parser.add_argument("nbytes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--num-producers", type=int, default=1)
    parser.add_argument("--num-consumers", type=int, default=1)
    arguments = vars(parser.parse_args())
    role = arguments.pop("role")
    payload = random.Random(arguments["nbytes"]).randbytes(arguments["nbytes"])
    task = Task(**arguments, payload=payload)
    if role == "many":
        many(task)
    elif role == "produce":
        uvloop.run(produce(task, producing))
    elif role == "consume":
        uvloop.run(consume(task, consuming, views=views))
    elif role == "produce_many":
        uvloop.run(produce_many(task, producing))
    else:
        uvloop.run(consume_many(task, consuming))
