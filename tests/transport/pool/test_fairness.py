"""Tasks that receive from one pool at once take turns, of each kind of pool."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.transport.pool.conftest import Pool
from tests.transport.waiting import eventually, settle

from busduct.messages import QueryResult

NewPool = Callable[..., Pool]


class Takers:
    """Tasks that receive again and again, and note who got what."""

    def __init__(self, source: Any, num: int) -> None:
        self.taken: list[tuple[int, str]] = []
        self.tasks = [
            asyncio.create_task(self._take(source, number)) for number in range(num)
        ]

    async def _take(self, source: Any, number: int) -> None:
        while (item := await source.recv()) is not None:
            self.taken.append((number, item.id))


def send(sender: Any, num: int) -> None:
    for number in range(num):
        sender.send(QueryResult(id=str(number)))


async def test_each_message_goes_to_who_has_waited_longest(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        takers = Takers(pool, 3)
        await settle()
        send(sender, 9)
        await eventually(lambda: len(takers.taken) == 9)
    assert takers.taken == [(number % 3, str(number)) for number in range(9)]
    pool.cleanup()
    await asyncio.gather(*takers.tasks)


async def test_each_has_its_turn_however_few_come_at_once(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        takers = Takers(pool, 3)
        await settle()
        for num_sent in range(2, 14, 2):
            send(sender, 2)
            await eventually(lambda: len(takers.taken) == num_sent)  # noqa: B023
            await settle()
    assert [number for number, _ in takers.taken] == [0, 1, 2] * 4
    pool.cleanup()
    await asyncio.gather(*takers.tasks)


@pytest.mark.parametrize("who", [0, 1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_who_is_cancelled_holds_up_nobody(
    new_pool: NewPool, who: int, when: str
) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        waiting = [asyncio.create_task(pool.recv()) for _ in range(3)]
        await settle()
        if when == "before":
            waiting[who].cancel()
        send(sender, 3)
        await eventually(lambda: pool.stats().num_received == 3)
        waiting[who].cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        got = [item.id for item in ended if isinstance(item, QueryResult)]
        left = [item.id for item in pool.drain()]
    assert got + left == ["0", "1", "2"]
    assert len(got) >= 2


async def test_all_who_wait_are_let_go_at_the_end(new_pool: NewPool) -> None:
    pool = new_pool()
    takers = Takers(pool, 3)
    await settle()
    pool.cleanup()
    async with asyncio.timeout(20):
        await asyncio.gather(*takers.tasks)
    assert takers.taken == []


async def test_poll_takes_nothing_that_a_task_could_miss(new_pool: NewPool) -> None:
    pool = new_pool()
    async with pool.worker_connector.connect(0) as (_, sender):
        first, second = (asyncio.create_task(pool.recv()) for _ in range(2))
        await settle()
        send(sender, 3)
        polled = await eventually(pool.poll)
        async with asyncio.timeout(20):
            received = [await first, await second]
    assert sorted(item.id for item in [polled, *received] if item) == ["0", "1", "2"]
