"""What both endpoint clients of the benchmark do: their works, through their one face.

A peer calls `main` with how its client is made and with its `Query`; all else is
`issue`, `poll`, `recv` and `shutdown_async`, which both have. The roles:

- `throughput`: so many requests under way, each on a connection of its own;
- `latency`: one request at a time, `PACE_S` apart, beside a bare socket that asks the
  same server.

Each prints one JSON object, after it has checked the first answers.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from client_task import NUM_CHECKED, BareClient, Task, wait_for_server
from driver import Meter
from idle import cpu_ns

# As many requests a second as no part of it is busy with.
PACE_S = 0.005
# Between two looks at the clock.
CHUNK = 32

MakeClient = Callable[[Task], Awaitable[Any]]
MakeQuery = Callable[..., Any]


async def throughput(
    client: Any, make_query: MakeQuery, task: Task
) -> dict[str, float]:
    """Return requests a second, and the processor time of all processes for each."""
    data, ids = task.data, itertools.count()

    async def take_result() -> Any:
        item = client.poll()
        while item is None or not hasattr(item, "error"):
            item = client.poll() or await client.recv()
        return item

    for _ in range(task.num_connections):
        client.issue(make_query(id=str(next(ids)), data=data))
    for _ in range(max(NUM_CHECKED, task.num_connections)):
        task.check(await take_result())
        client.issue(make_query(id=str(next(ids)), data=data))
    pids = [os.getpid(), *client.worker_manager.worker_pids.values()]
    meter, num_done, used = Meter(task.seconds), 0, -sum(map(cpu_ns, pids))
    while meter.more(CHUNK):
        for _ in range(CHUNK):
            result = await take_result()
            if result.error is not None:
                raise ValueError(result.error)
            client.issue(make_query(id=str(next(ids)), data=data))
        num_done += CHUNK
    used += sum(map(cpu_ns, pids))
    for _ in range(task.num_connections):
        await take_result()
    return {"rate": meter.rate, "cpu_us": used / num_done / 1e3}


async def latency(client: Any, make_query: MakeQuery, task: Task) -> dict[str, float]:
    """Return medians: until the first of an answer, until all, less a bare socket's."""
    bare = BareClient(task)
    firsts, wholes, alone = [], [], []
    end = time.perf_counter() + task.seconds * 1.25
    for index in itertools.count():
        if time.perf_counter() > end:
            break
        await asyncio.sleep(PACE_S)
        alone.append(bare.ask())
        await asyncio.sleep(PACE_S)
        begin = time.perf_counter()
        client.issue(make_query(id=str(index), data=task.data))
        item = await client.recv()
        firsts.append(time.perf_counter() - begin)
        while not hasattr(item, "error"):
            item = await client.recv()
        wholes.append(time.perf_counter() - begin)
        task.check(item)
    # The first fifth warms up.
    first, whole, floor = (
        statistics.median(each[len(each) // 5 :]) * 1e6
        for each in (firsts, wholes, alone)
    )
    return {"first_us": first - floor, "whole_us": whole - floor, "floor_us": floor}


ROLES = {each.__name__: each for each in (throughput, latency)}


def main(make_client: MakeClient, make_query: MakeQuery) -> None:
    """Do what the command line asks of a client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("num_workers", type=int)
    parser.add_argument("num_connections", type=int)
    parser.add_argument("--streamed", dest="is_streamed", action="store_true")
    parser.add_argument("--all-chunks", action="store_true")
    arguments = vars(parser.parse_args())
    role = ROLES[arguments.pop("role")]
    task = Task(**arguments)
    wait_for_server(task.port)

    async def run() -> dict[str, float]:
        client = await make_client(task)
        try:
            return await role(client, make_query, task)
        finally:
            await client.shutdown_async()

    print(json.dumps(uvloop.run(run())), flush=True)
