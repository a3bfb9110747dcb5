"""What the worker-pool benchmark measures, in the process that has the pool."""

import asyncio
import multiprocessing
import os
import statistics
import time
from typing import Any

from driver import Meter
from idle import cpu_ns
from pool_task import WINDOW, PoolSender, System, Task
from pool_workers import NUM_CHECKED, beside_worker

NUM_IDLE = 8
# After the last worker is ready: what is left of starting is not idleness.
SETTLE_S = 1.0


async def one_process(system: System, task: Task) -> dict[str, float]:
    """Return messages a second on one loop, and the processor time of each."""
    kind, half = task.kind, WINDOW // 2
    async with system.both_ends(kind) as (sender, receiver):
        checked = task.some(system, kind, NUM_CHECKED)
        await system.send_all(sender, checked)
        for index in range(NUM_CHECKED):
            task.check(system, kind, index, await receiver.recv())
        sent = task.some(system, kind, half)
        await system.send_all(sender, sent)
        meter, num_taken, used = Meter(task.seconds), 0, -time.process_time()
        while meter.more(half):
            await system.send_all(sender, sent)
            for _ in range(half):
                await receiver.recv()
            num_taken += half
        used += time.process_time()
        for _ in range(half):
            await receiver.recv()
    return {"rate": meter.rate, "cpu_us": 1e6 * used / num_taken}


async def queries_out(system: System, task: Task) -> dict[str, float]:
    """Return queries a second that a worker process takes."""
    async with beside_worker(system, "take", task) as pool:
        sender = PoolSender(pool)
        await system.send_all(sender, task.some(system, "Query", NUM_CHECKED))
        await pool.recv()
        share = task.window // 4
        sent = task.some(system, "Query", share)
        for _ in range(3):
            await system.send_all(sender, sent)
        meter = Meter(task.seconds)
        while meter.more(share):
            await system.send_all(sender, sent)
            await pool.recv()
        # NB: a peer may wait for ever to close with queries that nobody takes.
        for _ in range(3):
            await pool.recv()
    return {"rate": meter.rate}


async def results_back(system: System, task: Task) -> dict[str, float]:
    """Return results a second that come from a worker process."""
    async with beside_worker(system, "give", task) as pool:
        for index in range(NUM_CHECKED):
            task.check(system, "QueryResult", index, await pool.recv())
        share = task.window // 4
        (credit,) = Task("Query", 1, 0.0, 1).some(system, "Query", 1)
        for _ in range(4):
            pool.send(0, credit)
        meter = Meter(task.seconds)
        while meter.more(share):
            for _ in range(share):
                await pool.recv()
            pool.send(0, credit)
        for _ in range(4 * share):
            await pool.recv()
    return {"rate": meter.rate}


async def round_trips(system: System, task: Task) -> dict[str, float]:
    """Return how long a query takes to its result, and how many a second do it."""
    async with beside_worker(system, "echo", task) as pool:
        for index in range(NUM_CHECKED):
            pool.send(0, task.make(system, "Query", index))
            task.check(system, "QueryResult", index, await pool.recv())
        queries = task.some(system, "Query", task.outstanding)
        times = await trips(pool, queries, time.perf_counter() + task.seconds / 4)
        begin = time.perf_counter()
        times = await trips(pool, queries, begin + task.seconds)
        rate = len(times) / (time.perf_counter() - begin)
    cuts = statistics.quantiles(times, n=100)
    return {"p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6, "rate": rate}


async def trips(pool: Any, queries: list[Any], until: float) -> list[float]:
    """Keep all queries under way until a time, then take what is still under way."""
    now = time.perf_counter
    times, sent = [], {}
    for query in queries:
        sent[query.id] = now()
        pool.send(0, query)
    by_id = {query.id: query for query in queries}
    num_under_way = len(queries)
    while num_under_way:
        found = (await pool.recv()).id
        at = now()
        times.append(at - sent[found])
        if at < until:
            sent[found] = now()
            pool.send(0, by_id[found])
        else:
            num_under_way -= 1
    return times


async def idle(system: System, task: Task) -> dict[str, float]:
    """Return what a pool and its waiting workers cost, in percent of a core."""
    async with beside_worker(system, "take", task, NUM_IDLE) as pool:
        waiting = asyncio.ensure_future(pool.recv())
        await asyncio.sleep(SETTLE_S)
        pids = [each.pid for each in multiprocessing.active_children()]
        if len(pids) != NUM_IDLE:
            msg = f"{len(pids)} of {NUM_IDLE} workers are alive"
            raise ValueError(msg)
        before, begin = used_ns(pids), time.perf_counter_ns()
        await asyncio.sleep(task.seconds)
        used, elapsed = used_ns(pids) - before, time.perf_counter_ns() - begin
        waiting.cancel()
        await asyncio.wait([waiting])
    return {"percent": 100 * used / elapsed}


def used_ns(pids: list[int]) -> int:
    """Return the time that this process and its workers have run."""
    return sum(map(cpu_ns, [os.getpid(), *pids]))


ROLES = {
    each.__name__: each
    for each in (one_process, queries_out, results_back, round_trips, idle)
}
