"""Pools whose workers are processes, of which any may be killed."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest
from tests.transport.pool.conftest import Kind
from tests.transport.pool.test_pool import query, taken
from tests.transport.pool.worker_program import worker_process
from tests.transport.waiting import eventually

from busduct.errors import ForkedError
from busduct.messages import QueryResult


async def test_workers_answer(process_kind: Kind) -> None:
    pool = process_kind.create(2)
    with worker_process(pool, 0), worker_process(pool, 1):
        await pool.wait_for_workers_ready(30.0)
        for number in range(2000):
            pool.send(number % 2, query(number, number % 3000))
        pool.cancel(0, "last")
        names = await taken(pool, 2001)
        pool.cleanup()
    assert sorted(names) == sorted([*map(str, range(2000)), "last"])


async def test_large_prompt_goes_there_and_back(process_kind: Kind) -> None:
    pool = process_kind.create()
    with worker_process(pool):
        await pool.wait_for_workers_ready(30.0)
        pool.send(0, query("a", 64 << 20))
        pool.send(0, query("b"))
        received = await pool.recv()
        assert isinstance(received, QueryResult)
        assert received.response_output is not None
        assert len(received.response_output.output) == 64 << 20
        assert await taken(pool, 1) == ["b"]
        pool.cleanup()


async def test_cleanup_of_idle_workers_takes_no_time(process_kind: Kind) -> None:
    pool = process_kind.create(2, linger=20_000)
    with worker_process(pool, 0), worker_process(pool, 1):
        await pool.wait_for_workers_ready(30.0)
        start = time.monotonic()
        pool.cleanup()
        # Far less than the linger.
        assert time.monotonic() - start < 15.0


async def test_killed_worker_leaves_all_it_said(process_kind: Kind) -> None:
    pool = process_kind.create()
    with worker_process(pool) as child:
        await pool.wait_for_workers_ready(30.0)
        for number in range(200):
            pool.send(0, query(number, 100))
        first = await taken(pool, 1)
        child.send_signal(signal.SIGKILL)
        child.wait()
        await asyncio.wait_for(pool.wait_worker_gone(0), 20.0)
        rest = [item.id for item in pool.drain()]
        assert [*first, *rest] == [str(n) for n in range(1 + len(rest))]
        await asyncio.sleep(0)
        assert pool.poll() is None
    pool.cleanup()


async def test_queue_of_a_killed_worker_goes_to_nobody_else(
    process_kind: Kind,
) -> None:
    pool = process_kind.create(max_queued_bytes=1 << 20)
    with worker_process(pool, 0, "silent") as child:
        await pool.wait_for_workers_ready(30.0)
        for number in range(100):
            pool.send(0, query(number, 5000))
        child.kill()
        child.wait()
        await asyncio.wait_for(pool.wait_worker_gone(0), 20.0)
        pool.renew_worker(0)
    with worker_process(pool):
        await asyncio.wait_for(pool.wait_worker_ready(0), 30.0)
        pool.send(0, query("next"))
        assert await taken(pool, 1) == ["next"]
        assert pool.poll() is None
    pool.cleanup()


async def test_worker_killed_idle_is_gone(process_kind: Kind) -> None:
    pool = process_kind.create()
    with worker_process(pool) as child:
        await pool.wait_for_workers_ready(30.0)
        gone = asyncio.create_task(pool.wait_worker_gone(0))
        await asyncio.sleep(0)
        child.kill()
        # Nothing but the end of its connection tells of it, for nobody asks.
        await asyncio.wait_for(gone, 20.0)
    await eventually(lambda: pool.stats().num_connected == 0)
    pool.cleanup()


async def test_worker_that_never_signals_times_the_wait_out(
    process_kind: Kind,
) -> None:
    pool = process_kind.create(2)
    with worker_process(pool, 1):
        await pool.wait_worker_ready(1)
        with pytest.raises(TimeoutError, match=r"1/2 workers ready .* missing 0"):
            await pool.wait_for_workers_ready(0.05)
    pool.cleanup()


async def test_forked_child_is_refused(process_kind: Kind) -> None:
    pool = process_kind.create()
    directory = pool._directory.path
    for use in (pool.poll, pool.cleanup, lambda: pool.send(0, query("a"))):
        assert raised_in_child(use) is ForkedError
    assert directory.exists()
    async with pool.worker_connector.connect(0):
        await pool.wait_for_workers_ready(20.0)
    pool.cleanup()
    assert not directory.exists()


def raised_in_child(use: Callable[[], object]) -> type[Exception] | None:
    """Fork; return which of the two the child came to."""
    pid = os.fork()
    if pid == 0:
        try:
            use()
        except ForkedError:
            os._exit(7)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ForkedError if status == 7 else None
