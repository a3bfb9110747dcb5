"""What every pool of workers does, of each kind and on each backend."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.transport.pool.conftest import Kind, Pool
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
)
from busduct.messages import Query, QueryResult, StreamChunk, TextModelOutput
from busduct.transport import (
    ReceiverTransport,
    SenderTransport,
    WorkerConnector,
    WorkerPoolTransport,
)

NewPool = Callable[..., Pool]

# Far less than any test sends, and more than what other messages of it take.
SMALL = {"max_queued_bytes": 20_000}


def query(name: object, size: int = 10) -> Query:
    return Query(id=str(name), data={"prompt": "x" * size})


def result(name: object, size: int = 10) -> QueryResult:
    return QueryResult(id=str(name), response_output=TextModelOutput(output="x" * size))


async def taken(receiver: Any, num: int) -> list[str]:
    """Receive so many; return their ids."""
    items = [await receiver.recv() for _ in range(num)]
    return [item if isinstance(item, str) else item.id for item in items]


def num_until_full(send: Callable[[int], None]) -> int:
    """Send until that is refused; return how many were accepted."""
    for number in itertools.count():
        try:
            send(number)
        except FullError:
            return number
    raise AssertionError


class TestConnecting:
    async def test_protocols_are_met(self, new_pool: NewPool) -> None:
        pool = new_pool()
        assert isinstance(pool, WorkerPoolTransport)
        assert isinstance(pool.worker_connector, WorkerConnector)
        async with pool.worker_connector.connect(0) as (receiver, sender):
            assert isinstance(receiver, ReceiverTransport)
            assert isinstance(sender, SenderTransport)

    async def test_readiness_is_told_before_the_block_begins(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0):
            await pool.wait_for_workers_ready(20.0)
        assert pool.ready_workers == {0}

    async def test_connector_refuses_a_worker_there_is_none_of(
        self, new_pool: NewPool
    ) -> None:
        connector = new_pool(2).worker_connector
        for worker_id in (-1, 2):
            with pytest.raises(ValueError, match=f"{worker_id}; there are 2 workers"):
                async with connector.connect(worker_id):
                    pass

    async def test_pool_created_before_its_loop_runs_works(self, kind: Kind) -> None:
        def run() -> list[str]:
            loop = asyncio.new_event_loop()
            pool = kind.type.create(loop, 1)
            pool.send(0, query("early"))

            async def work() -> list[str]:
                async with pool.worker_connector.connect(0) as (receiver, _):
                    return await taken(receiver, 1)

            try:
                return loop.run_until_complete(work())
            finally:
                pool.cleanup()
                loop.close()

        assert await asyncio.to_thread(run) == ["early"]

    async def test_pool_for_another_loop_is_refused(self, kind: Kind) -> None:
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(LocalProtocolError, match="another loop"):
                kind.type.create(other, 1)
        finally:
            other.close()


class TestQueries:
    async def test_each_worker_gets_its_own_in_order(self, new_pool: NewPool) -> None:
        pool = new_pool(3)
        async with AsyncExitStack() as stack:
            receivers = [
                (await stack.enter_async_context(pool.worker_connector.connect(i)))[0]
                for i in range(3)
            ]
            for number in range(300):
                pool.send(number % 3, query(number))
            for worker_id, receiver in enumerate(receivers):
                names = [str(number) for number in range(worker_id, 300, 3)]
                assert await taken(receiver, 100) == names

    async def test_query_arrives_as_it_was(self, new_pool: NewPool) -> None:
        pool = new_pool()
        sent = Query(
            id="a",
            data={"prompt": "ü" * 3, "n": [1, 2.5, None, True]},
            headers={"x": "y"},
            created_at=12.5,
            timeout=3.0,
        )
        pool.send(0, sent)
        async with pool.worker_connector.connect(0) as (receiver, _):
            assert await receiver.recv() == sent

    @pytest.mark.parametrize("size", [0, 16_000, 16_384, 70_000, 64 << 20])
    async def test_query_of_any_size_arrives(
        self, new_pool: NewPool, size: int
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (receiver, _):
            for name in "abc":
                pool.send(0, query(name, size))
                pool.send(0, query(name))
                received = await receiver.recv()
                assert isinstance(received, Query)
                assert received.data["prompt"] == "x" * size
                assert await taken(receiver, 1) == [name]

    async def test_query_waits_for_a_worker_that_is_not_connected(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        pool.send(0, query("a"))
        assert pool.stats().num_queued == (1,)
        async with pool.worker_connector.connect(0) as (receiver, _):
            assert await taken(receiver, 1) == ["a"]

    @pytest.mark.parametrize("worker_id", [-1, 2])
    async def test_worker_there_is_none_of_is_an_index_error(
        self, new_pool: NewPool, worker_id: int
    ) -> None:
        pool = new_pool(2)
        for size in (10, 70_000):
            with pytest.raises(IndexError, match=f"no worker {worker_id}; there are 2"):
                pool.send(worker_id, query("a", size))
        with pytest.raises(IndexError):
            pool.cancel(worker_id, "a")
        with pytest.raises(IndexError):
            await pool.wait_worker_ready(worker_id)
        with pytest.raises(IndexError):
            await pool.wait_worker_gone(worker_id)
        with pytest.raises(IndexError):
            pool.renew_worker(worker_id)

    @pytest.mark.parametrize("size", [10, 17_000])
    async def test_full_worker_is_told_and_others_are_not(
        self, new_pool: NewPool, size: int
    ) -> None:
        pool = new_pool(2, **SMALL)
        num_accepted = num_until_full(lambda name: pool.send(0, query(name, size)))
        pool.send(1, query("other", size))
        async with pool.worker_connector.connect(0) as (receiver, _):
            names = [str(number) for number in range(num_accepted)]
            assert await taken(receiver, num_accepted) == names
            pool.send(0, query("room", size))
            assert await taken(receiver, 1) == ["room"]

    async def test_high_water_mark_counts_messages(self, new_pool: NewPool) -> None:
        pool = new_pool(high_water_mark=3)
        for name in "abc":
            pool.send(0, query(name))
        with pytest.raises(FullError):
            pool.send(0, query("d"))

    @pytest.mark.parametrize("limit", [1000, 100_000])
    async def test_query_over_the_limit_is_refused_with_both_numbers(
        self, new_pool: NewPool, limit: int
    ) -> None:
        pool = new_pool(max_message_bytes=limit)
        with pytest.raises(FrameTooLargeError) as caught:
            pool.send(0, query("a", limit))
        assert caught.value.limit == limit
        assert caught.value.size > limit
        pool.send(0, query("b", limit - 200))
        async with pool.worker_connector.connect(0) as (receiver, _):
            assert await taken(receiver, 1) == ["b"]

    async def test_what_msgpack_cannot_hold_is_a_type_error(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        with pytest.raises(TypeError):
            pool.send(0, Query(data={"prompt": object()}))
        pool.send(0, query("a"))
        async with pool.worker_connector.connect(0) as (receiver, _):
            assert await taken(receiver, 1) == ["a"]

    async def test_cancel_follows_its_query(self, new_pool: NewPool) -> None:
        pool = new_pool()
        pool.send(0, query("a"))
        pool.cancel(0, "a")
        async with pool.worker_connector.connect(0) as (receiver, _):
            assert isinstance(await receiver.recv(), Query)
            assert await receiver.recv() == "a"

    async def test_cancel_of_a_full_worker_is_counted(self, new_pool: NewPool) -> None:
        pool = new_pool(high_water_mark=1)
        pool.send(0, query("a"))
        pool.cancel(0, "a")
        assert pool.stats().num_dropped_cancels == 1

    async def test_sending_after_cleanup_is_silent(self, new_pool: NewPool) -> None:
        pool = new_pool()
        pool.cleanup()
        for size in (10, 70_000):
            pool.send(0, query("a", size))
        pool.cancel(0, "a")
        assert pool.stats().num_sent == 0


class TestResponses:
    async def test_results_and_chunks_arrive_as_they_were(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        chunk = StreamChunk(id="a", response_chunk="x", metadata={"first_chunk": True})
        async with pool.worker_connector.connect(0) as (_, sender):
            sender.send(chunk)
            sender.send(sent := result("a"))
            assert await pool.recv() == chunk
            assert await pool.recv() == sent

    @pytest.mark.parametrize("size", [16_384, 70_000, 64 << 20])
    async def test_result_of_any_size_arrives(
        self, new_pool: NewPool, size: int
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            for name in "abc":
                await sender.asend(result(name, size))
                await sender.asend(result(name))
                received = await pool.recv()
                assert isinstance(received, QueryResult)
                assert received.response_output == result(name, size).response_output
                assert await taken(pool, 1) == [name]

    async def test_responses_of_a_worker_keep_their_order(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool(2)
        async with (
            pool.worker_connector.connect(0) as (_, first),
            pool.worker_connector.connect(1) as (_, second),
        ):
            for number in range(1000):
                first.send(result(f"0-{number}"))
                second.send(result(f"1-{number}"))
            names = await taken(pool, 2000)
        for worker_id in "01":
            own = [name for name in names if name.startswith(worker_id)]
            assert own == [f"{worker_id}-{number}" for number in range(1000)]

    async def test_poll_takes_what_is_there(self, new_pool: NewPool) -> None:
        pool = new_pool()
        assert pool.poll() is None
        async with pool.worker_connector.connect(0) as (_, sender):
            sender.send(result("a"))
            received = await eventually(pool.poll)
        assert received.id == "a"
        assert pool.poll() is None

    async def test_drain_takes_all_or_as_many_as_told(self, new_pool: NewPool) -> None:
        pool = new_pool()
        assert pool.drain() == []
        async with pool.worker_connector.connect(0) as (_, sender):
            for number in range(1000):
                sender.send(result(number))
            await eventually(lambda: pool.stats().num_recv_queued == 1000)
            assert [each.id for each in pool.drain(3)] == ["0", "1", "2"]
            assert [each.id for each in pool.drain(0)] == []
            names = [str(number) for number in range(3, 1000)]
            assert [each.id for each in pool.drain()] == names

    async def test_wait_readable_takes_nothing(self, new_pool: NewPool) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            waiting = asyncio.create_task(pool.wait_readable())
            await settle()
            assert not waiting.done()
            sender.send(result("a"))
            assert await waiting
            sender.send(result("b"))
            assert await taken(pool, 1) == ["a"]
            assert await pool.wait_readable()
            assert await taken(pool, 1) == ["b"]

    async def test_cancelled_recv_loses_nothing(
        self, any_loop: str, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            for number in range(20):
                waiting = asyncio.create_task(pool.recv())
                await settle(number % 3)
                sender.send(result(number))
                await settle(number)
                waiting.cancel()
                try:
                    received = await waiting
                except asyncio.CancelledError:
                    received = await pool.recv()
                assert received is not None
                assert received.id == str(number)

    async def test_tasks_share_what_comes(self, new_pool: NewPool) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            tasks = [asyncio.create_task(pool.recv()) for _ in range(20)]
            await settle()
            for number in range(20):
                sender.send(result(number))
            items = await asyncio.gather(*tasks)
        assert sorted(int(each.id) for each in items if each) == list(range(20))

    async def test_receiving_gives_way_to_other_tasks(self, new_pool: NewPool) -> None:
        pool = new_pool()
        num_turns = 0

        async def count() -> None:
            nonlocal num_turns
            while True:
                num_turns += 1
                await asyncio.sleep(0)

        async with pool.worker_connector.connect(0) as (_, sender):
            for number in range(20_000):
                sender.send(result(number))
            await eventually(lambda: pool.stats().num_recv_queued > 5_000)
            counting = asyncio.create_task(count())
            await taken(pool, 20_000)
            counting.cancel()
        assert num_turns >= 3

    async def test_worker_with_a_full_queue_is_told_and_may_wait(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool(**SMALL)
        async with pool.worker_connector.connect(0) as (_, sender):
            num_sent = num_until_full(lambda name: sender.send(result(name, 1000)))
            room = asyncio.create_task(sender.wait_writable())
            last = asyncio.create_task(sender.asend(result("last")))
            names = [str(number) for number in range(num_sent)]
            assert await taken(pool, num_sent) == names
            await room
            await last
            assert await taken(pool, 1) == ["last"]

    async def test_worker_sends_nothing_over_the_limit(self, new_pool: NewPool) -> None:
        pool = new_pool(max_message_bytes=100_000)
        async with pool.worker_connector.connect(0) as (_, sender):
            for send in (sender.send, sender.asend):
                with pytest.raises(FrameTooLargeError):
                    await (send(result("a", 100_000)) or asyncio.sleep(0))
            sender.send(result("b"))
            assert await taken(pool, 1) == ["b"]

    async def test_worker_that_has_closed_its_ends_is_told(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (receiver, sender):
            receiver.close()
            sender.close()
            assert await receiver.recv() is None
            assert receiver.poll() is None
            with pytest.raises(ClosedError):
                sender.send(result("a"))

    async def test_what_a_worker_sent_last_arrives_after_its_block(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            for number in range(100):
                sender.send(result(number, 1000))
        assert await taken(pool, 100) == [str(number) for number in range(100)]


class TestCleanup:
    async def test_those_who_wait_are_let_go(
        self, any_loop: str, new_pool: NewPool
    ) -> None:
        pool = new_pool(2)
        receiving = [asyncio.create_task(pool.recv()) for _ in range(3)]
        readable = asyncio.create_task(pool.wait_readable())
        others = [
            asyncio.create_task(pool.wait_for_workers_ready()),
            asyncio.create_task(pool.wait_for_workers_ready(50.0)),
            asyncio.create_task(pool.wait_worker_ready(1)),
        ]
        await settle()
        pool.cleanup()
        assert await asyncio.gather(*receiving) == [None] * 3
        assert await readable is False
        for each in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(each, ClosedError)

    async def test_again_is_fine_and_nothing_comes(self, new_pool: NewPool) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (_, sender):
            sender.send(result("a"))
            await pool.wait_readable()
            pool.cleanup()
            pool.cleanup()
            assert await pool.recv() is None
            assert pool.poll() is None
            assert pool.drain() == []
            assert not await pool.wait_readable()
            with pytest.raises(ClosedError):
                await pool.wait_for_workers_ready(1.0)
            with pytest.raises(ClosedError):
                await pool.wait_worker_gone(0)

    async def test_queued_queries_go_out(self, process_kind: Kind) -> None:
        pool = process_kind.create()
        async with pool.worker_connector.connect(0) as (receiver, _):
            await pool.wait_for_workers_ready(20.0)
            for number in range(100):
                pool.send(0, query(number, 1000))
            pool.cleanup()
            assert await taken(receiver, 100) == [str(number) for number in range(100)]

    async def test_queries_of_a_worker_that_never_came_hold_nobody_up(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool(linger=-1)
        pool.send(0, query("a"))
        pool.cleanup()

    async def test_statistics_stay(self, new_pool: NewPool) -> None:
        pool = new_pool()
        async with pool.worker_connector.connect(0) as (receiver, sender):
            pool.send(0, query("a"))
            await taken(receiver, 1)
            sender.send(result("a"))
            await taken(pool, 1)
            await pool.wait_for_workers_ready()
            pool.cleanup()
        assert pool.stats().num_ready == 1
        assert pool.stats().num_sent == 1
        assert pool.stats().num_received == 1

    async def test_pool_that_was_not_cleaned_up_warns(self, kind: Kind) -> None:
        pool = kind.create()
        with pytest.warns(ResourceWarning, match="unclosed"):
            pool.__del__()
        pool.cleanup()


async def test_statistics_tell_what_is_queued(new_pool: NewPool) -> None:
    pool = new_pool(2)
    pool.send(1, query("a"))
    stats = pool.stats()
    assert stats.num_workers == 2
    assert stats.num_queued == (0, 1)
    assert stats.num_queued_bytes[1] > 96
    assert (stats.num_ready, stats.num_connected) == (0, 0)
    async with pool.worker_connector.connect(0) as (_, sender):
        await pool.wait_worker_ready(0)
        assert pool.stats().num_ready == 1
        assert pool.stats().num_connected == 1
        sender.send(result("a"))
        await pool.wait_readable()
        assert pool.stats().num_recv_queued == 1
        await taken(pool, 1)
        assert pool.stats().num_recv_queued == 0
        assert pool.stats().num_received == 1
