"""Worker processes of the worker-pool benchmark, and what they do."""

import contextlib
import importlib
import multiprocessing
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from pool_task import READY_S, System, Task

NUM_CHECKED = 20


@contextlib.asynccontextmanager
async def beside_worker(
    system: System, work: str, task: Task, count: int = 1
) -> AsyncIterator[Any]:
    """Give a pool whose workers, each a process, do a work until they are ended."""
    spawn = multiprocessing.get_context("spawn")
    with system.pool(count) as pool:
        workers = [
            spawn.Process(
                target=run_worker,
                args=(pool.worker_connector, worker_id, system.name, work, task),
                daemon=True,
            )
            for worker_id in range(count)
        ]
        for worker in workers:
            worker.start()
        try:
            await pool.wait_for_workers_ready(timeout=READY_S)
            yield pool
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.join()


def run_worker(
    connector: Any, worker_id: int, name: str, work: str, task: Task
) -> None:
    """Be a worker of the pool."""
    system = importlib.import_module(name).SYSTEM
    uvloop.run(serve(connector, worker_id, system, WORKS[work], task))


async def serve(
    connector: Any, worker_id: int, system: System, work: Any, task: Task
) -> None:
    """Connect and do the work."""
    async with connector.connect(worker_id) as (queries, results):
        await work(queries, results, system, task)


async def take(queries: Any, results: Any, system: System, task: Task) -> None:
    """Check the first queries, then take all; report each quarter of a window."""
    for index in range(NUM_CHECKED):
        task.check(system, "Query", index, await queries.recv())
    report = system.messages.StreamChunk(id="taken")
    results.send(report)
    share = task.window // 4
    while True:
        for _ in range(share):
            await queries.recv()
        results.send(report)


async def give(queries: Any, results: Any, system: System, task: Task) -> None:
    """Send the results that are checked, then a quarter of a window when asked."""
    await system.send_all(results, task.some(system, "QueryResult", NUM_CHECKED))
    sent = task.some(system, "QueryResult", task.window // 4)
    while True:
        await queries.recv()
        await system.send_all(results, sent)


async def echo(queries: Any, results: Any, system: System, task: Task) -> None:
    """Answer each query with its prompt."""
    make_result = system.messages.QueryResult
    make_output = system.messages.TextModelOutput
    while True:
        query = await queries.recv()
        output = make_output(output=query.data["prompt"])
        results.send(make_result(id=query.id, response_output=output))


WORKS = {"take": take, "give": give, "echo": echo}
