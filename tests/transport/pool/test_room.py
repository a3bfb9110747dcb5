"""Waiting until a worker has room for another query, with each kind of pool."""

import asyncio
from collections.abc import Callable

import pytest
from tests.transport.pool.conftest import Pool
from tests.transport.pool.test_pool import SMALL, num_until_full, query, taken
from tests.transport.waiting import settle

from busduct.errors import FullError

NewPool = Callable[..., Pool]


@pytest.mark.parametrize("size", [100, 12_000])
async def test_full_worker_is_writable_once_it_has_taken_much(
    new_pool: NewPool, size: int
) -> None:
    pool = new_pool(2, **SMALL)
    assert await pool.wait_writable(0)
    async with pool.worker_connector.connect(0) as (receiver, _):
        num_sent = 0
        # The kernel and the worker take some in.
        while num := num_until_full(lambda name: pool.send(0, query(name, size))):
            num_sent += num
            await settle()
        waiting = asyncio.create_task(pool.wait_writable(0))
        await settle()
        assert not waiting.done()
        # Another worker's queue is another matter.
        assert await pool.wait_writable(1)
        await taken(receiver, num_sent)
        async with asyncio.timeout(20):
            assert await waiting
        pool.send(0, query("next", size))
        assert await taken(receiver, 1) == ["next"]


async def test_waiting_for_room_can_be_cancelled(new_pool: NewPool) -> None:
    pool = new_pool(high_water_mark=1)
    pool.send(0, query("a"))
    waiting = asyncio.create_task(pool.wait_writable(0))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(FullError):
        pool.send(0, query("b"))


async def test_next_worker_of_an_id_has_room(new_pool: NewPool) -> None:
    pool = new_pool(high_water_mark=1)
    pool.send(0, query("a"))
    waiting = asyncio.create_task(pool.wait_writable(0))
    await settle()
    pool.renew_worker(0)
    async with asyncio.timeout(20):
        assert await waiting
    pool.send(0, query("b"))


async def test_after_cleanup_there_is_none(new_pool: NewPool) -> None:
    pool = new_pool(high_water_mark=1)
    pool.send(0, query("a"))
    waiting = asyncio.create_task(pool.wait_writable(0))
    await settle()
    pool.cleanup()
    async with asyncio.timeout(20):
        assert not await waiting
    assert not await pool.wait_writable(0)


async def test_worker_there_is_none_of_is_an_index_error(new_pool: NewPool) -> None:
    with pytest.raises(IndexError, match="no worker 1; there are 1"):
        await new_pool().wait_writable(1)
