"""Queries that no worker has room for, until one has."""

import asyncio
import resource

import pytest
from tests.processes.conditions import TIMEOUT, until
from tests.workers.test_dispatcher import (
    dispatching,
    error,
    ids,
    stop_clock,
    submit,
)

from busduct.errors import FrameTooLargeError, FullError
from busduct.messages import Query, QueryResult
from busduct.transport import InprocWorkerPoolTransport
from busduct.workers import Dispatcher, _outgoing


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def test_queries_wait_in_order_until_there_is_room() -> None:
    async with dispatching(num_workers=1, capacity=2) as (dispatcher, pool):
        submit(dispatcher, *"abcde", wait=True)
        assert ids(pool.sent[0]) == ["a", "b"]
        assert dispatcher.stats().num_held == 3
        assert dispatcher.num_in_flight == 5
        pool.make_room(0)
        # There is room, and it is not for those that come last.
        submit(dispatcher, "f", wait=True)
        assert pool.sent[0] == []
        await until(lambda: ids(pool.sent[0]) == ["c", "d"])
        pool.make_room(0)
        await until(lambda: ids(pool.sent[0]) == ["e", "f"])
        assert dispatcher.stats().num_held == 0


async def test_many_that_waited_are_sent_in_bursts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_outgoing, "BURST", 3)
    async with dispatching(num_workers=1, ready=False) as (dispatcher, pool):
        submit(dispatcher, *"abcdefgh")
        dispatcher.note_ready(0)
        assert ids(pool.sent[0]) == ["a", "b", "c"]
        # There is room, which those before have not used yet.
        submit(dispatcher, "i")
        await asyncio.sleep(0)
        assert ids(pool.sent[0]) == ["a", "b", "c", "d", "e", "f"]
        await until(lambda: ids(pool.sent[0]) == list("abcdefghi"))
        assert dispatcher.stats().num_held == 0


async def test_room_of_any_worker_will_do() -> None:
    async with dispatching(num_workers=3, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"abcd", wait=True)
        await until(lambda: pool.num_waiting == 3)
        pool.make_room(1)
        await until(lambda: ids(pool.sent[1]) == ["d"])
        await until(lambda: pool.num_waiting == 0)


async def test_worker_that_is_ready_meanwhile_gets_what_waits() -> None:
    async with dispatching(capacity=1, ready=False) as (dispatcher, pool):
        dispatcher.note_ready(0)
        submit(dispatcher, *"abc", wait=True)
        dispatcher.note_ready(1)
        assert ids(pool.sent[1]) == ["b"]
        pool.make_room(1)
        await until(lambda: ids(pool.sent[1]) == ["c"])


async def test_room_that_is_taken_by_somebody_else_is_waited_for_again() -> None:
    async with dispatching(num_workers=1, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"ab", wait=True)
        await until(lambda: pool.num_waits == 1)
        pool.make_room(0)
        pool.send(0, Query(id="of somebody else"))
        await until(lambda: pool.num_waits == 1)
        pool.make_room(0)
        await until(lambda: ids(pool.sent[0]) == ["b"])


async def test_waiting_query_can_be_cancelled_and_is_forgotten() -> None:
    async with dispatching(num_workers=1, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"abc", wait=True)
        assert dispatcher.cancel("b")
        assert not dispatcher.cancel("b")
        assert dispatcher.stats().num_held == 1
        assert await error(dispatcher) == ("b", "cancelled")
        # Its id is free, for no worker ever had it.
        submit(dispatcher, "b", wait=True)
        pool.capacity = 9
        pool.make_room(0)
        await until(lambda: ids(pool.sent[0]) == ["c", "b"])


async def test_waiting_query_ends_at_its_deadline() -> None:
    async with dispatching(num_workers=1, capacity=1, request_timeout=0.05) as (
        dispatcher,
        pool,
    ):
        stop_clock(dispatcher)
        submit(dispatcher, *"abc", wait=True)
        dispatcher.submit(Query(id="soon", timeout=0.01), wait=True)
        ended = [(await error(dispatcher))[0] for _ in range(4)]
        assert ended == ["soon", "a", "b", "c"]
        assert dispatcher.stats().num_held == 0
        pool.make_room(0)
        submit(dispatcher, "d")
        assert ids(pool.sent[0]) == ["d"]


async def test_waiting_query_that_cannot_be_sent_ends_and_others_go_on() -> None:
    async with dispatching(num_workers=1, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"abc", wait=True)
        pool.refused = {"b": FrameTooLargeError(20, 10)}
        pool.make_room(0)
        await until(lambda: ids(pool.sent[0]) == ["c"])
        assert await error(dispatcher) == ("b", "request")


async def test_without_waiting_nothing_is_kept() -> None:
    async with dispatching(capacity=1) as (dispatcher, _):
        submit(dispatcher, "a", "b")
        with pytest.raises(FullError, match="2 workers"):
            submit(dispatcher, "c")
        submit(dispatcher, "d", wait=True)
        with pytest.raises(FullError, match="2 workers"):
            submit(dispatcher, "e")
        assert dispatcher.num_in_flight == 3


async def test_with_the_last_full_worker_gone_more_are_held() -> None:
    async with dispatching(num_workers=1, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"ab", wait=True)
        dispatcher.note_lost(0)
        submit(dispatcher, "c")
        await dispatcher.settle(0, lambda: 0, "killed")
        pool.make_room(0)
        pool.capacity = 9
        dispatcher.note_ready(0)
        assert ids(pool.sent[0]) == ["a", "b", "c"]


async def test_close_ends_what_waits() -> None:
    async with dispatching(num_workers=1, capacity=1) as (dispatcher, pool):
        submit(dispatcher, *"ab", wait=True)
        dispatcher.close()
        assert await error(dispatcher) == ("a", "shutdown")
        assert await error(dispatcher) == ("b", "shutdown")
        pool.make_room(0)
        await asyncio.sleep(0)
        assert pool.sent[0] == []


@pytest.mark.parametrize("size", [1_000, 12_000])
async def test_waiting_for_a_real_queue_takes_no_processor_time(
    pool_backend: str, size: int
) -> None:
    loop = asyncio.get_running_loop()
    pool = InprocWorkerPoolTransport.create(loop, 1, max_queued_bytes=20_000)
    dispatcher = Dispatcher(pool, 1, loop)
    dispatcher.start()
    try:
        async with pool.worker_connector.connect(0) as (receiver, sender):
            await pool.wait_for_workers_ready(20)
            dispatcher.note_ready(0)
            names = [str(number) for number in range(300)]
            for name in names:
                dispatcher.submit(Query(id=name, data={"p": "x" * size}), wait=True)
            assert dispatcher.stats().num_held
            # What goes on after the submissions is over some time; polling never is.
            async with asyncio.timeout(TIMEOUT):
                used = 1.0
                while used > 0.1:
                    before = processor_seconds()
                    await asyncio.sleep(0.3)
                    used = processor_seconds() - before
            taken = []
            while len(taken) < len(names):
                query = await receiver.recv()
                assert isinstance(query, Query)
                taken.append(query.id)
                sender.send(QueryResult(id=query.id))
            assert taken == names
    finally:
        dispatcher.close()
        pool.cleanup()
