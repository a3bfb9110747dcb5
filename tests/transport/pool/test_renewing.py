"""A worker that is gone, and the next one in its place."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.transport.pool.conftest import Kind, Pool
from tests.transport.pool.test_pool import query, result, taken
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError

NewPool = Callable[..., Pool]


async def test_worker_that_never_connected_is_gone_at_once(new_pool: NewPool) -> None:
    await new_pool().wait_worker_gone(0)


async def test_gone_means_that_all_it_sent_can_be_polled(new_pool: NewPool) -> None:
    pool = new_pool(2)
    async with pool.worker_connector.connect(1):
        async with pool.worker_connector.connect(0) as (_, sender):
            await pool.wait_for_workers_ready(20.0)
            gone = [asyncio.create_task(pool.wait_worker_gone(0)) for _ in range(3)]
            gone.append(asyncio.create_task(pool.wait_worker_gone(1)))
            for number in range(500):
                sender.send(result(number, 100))
            await settle()
            gone.pop(0).cancel()
            assert not any(task.done() for task in gone)
        await asyncio.gather(*gone[:2])
        assert [item.id for item in pool.drain()] == [str(n) for n in range(500)]
        assert not gone[2].done()
    await gone[2]


async def test_gone_of_a_full_queue_awaits_that_it_is_taken(new_pool: NewPool) -> None:
    pool = new_pool(max_queued_bytes=20_000)
    names = []

    async def work() -> None:
        async with pool.worker_connector.connect(0) as (_, sender):
            for number in range(1000):
                await sender.asend(result(number, 1000))

    working = asyncio.create_task(work())
    await pool.wait_for_workers_ready(20.0)
    gone = asyncio.create_task(pool.wait_worker_gone(0))
    while not gone.done() and await pool.wait_readable():
        names += [item.id for item in pool.drain(10)]
        await asyncio.sleep(0)
        if len(names) == 1000:
            break
    await gone
    await working
    names += [item.id for item in pool.drain()]
    assert names == [str(number) for number in range(1000)]


async def test_waiting_for_the_end_is_let_go_by_cleanup(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0):
        await pool.wait_for_workers_ready(20.0)
        gone = asyncio.create_task(pool.wait_worker_gone(0))
        await settle()
        assert not gone.done()
        pool.cleanup()
        with pytest.raises(ClosedError):
            await gone


async def test_renewed_worker_gets_nothing_of_the_old_one(new_pool: NewPool) -> None:
    pool = new_pool(2)
    for name in "abc":
        pool.send(0, query(name))
    pool.send(1, query("other"))
    pool.renew_worker(0)
    assert pool.stats().num_dropped_queries == 3
    assert pool.stats().num_renewed == 1
    pool.send(0, query("d"))
    connector = pool.worker_connector
    async with (
        connector.connect(0) as (receiver, _),
        connector.connect(1) as (other, _),
    ):
        assert await taken(receiver, 1) == ["d"]
        assert await taken(other, 1) == ["other"]
        await pool.wait_for_workers_ready(20.0)


async def test_renewed_worker_is_not_ready_until_the_next_is(
    new_pool: NewPool,
) -> None:
    pool = new_pool()
    before = pool.worker_connector
    async with before.connect(0):
        await pool.wait_worker_ready(0)
    await pool.wait_worker_gone(0)
    pool.renew_worker(0)
    assert pool.ready_workers == frozenset()
    ready = asyncio.create_task(pool.wait_worker_ready(0))
    await settle()
    assert not ready.done()
    async with pool.worker_connector.connect(0) as (receiver, sender):
        await ready
        pool.send(0, query("a"))
        assert await taken(receiver, 1) == ["a"]
        sender.send(result("b"))
        assert await taken(pool, 1) == ["b"]
        assert pool.stats().num_connected == 1
        assert pool.stats().num_sent == 1


async def test_endpoints_of_the_old_one_are_gone(process_kind: Kind) -> None:
    pool = process_kind.create()

    def files() -> list[bool]:
        endpoints = msgspec.structs.astuple(connector.endpoints(0))
        return [Path(each.removeprefix("ipc://")).exists() for each in endpoints]

    connector: Any = pool.worker_connector
    assert files() == [True, True, True]
    pool.renew_worker(0)
    assert files() == [False, False, True]
    connector = pool.worker_connector
    assert files() == [True, True, True]
    pool.cleanup()


async def test_late_word_of_the_old_one_does_not_count(new_pool: NewPool) -> None:
    pool = new_pool()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool.worker_connector.connect(0))
        # Renewed before the pool has looked at what the first one said.
        pool.renew_worker(0)
        await eventually(lambda: pool.stats().num_stale_ready == 1)
        with pytest.raises(TimeoutError, match="0/1"):
            await pool.wait_for_workers_ready(0.05)
        assert pool.stats().num_stale_ready == 1


async def test_what_the_old_one_sent_can_still_be_taken(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        for number in range(100):
            sender.send(result(number))
    await pool.wait_worker_gone(0)
    pool.renew_worker(0)
    assert await taken(pool, 100) == [str(number) for number in range(100)]


async def test_worker_is_renewed_again_and_again(new_pool: NewPool) -> None:
    pool = new_pool()
    for number in range(20):
        async with pool.worker_connector.connect(0) as (receiver, sender):
            await pool.wait_worker_ready(0)
            pool.send(0, query(number))
            assert await taken(receiver, 1) == [str(number)]
            sender.send(result(number))
        await pool.wait_worker_gone(0)
        assert [item.id for item in pool.drain()] == [str(number)]
        pool.renew_worker(0)
    assert pool.stats().num_sent == 20


async def test_renewing_after_cleanup_is_refused(new_pool: NewPool) -> None:
    pool = new_pool()
    pool.cleanup()
    with pytest.raises(ClosedError):
        pool.renew_worker(0)
