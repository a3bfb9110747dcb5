"""Producers come and go, and so do consumers."""

import asyncio
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.consuming import scene
from tests.fmq.raw_producer import NAME, parts_of
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError
from busduct.fmq._consumer._intake import Intake
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import VERSION, Goodbye, Hello, encode_control


async def test_what_a_producer_that_ended_had_sent_is_still_delivered(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(*[str(n).encode() for n in range(600)])
        producer.close()
        for n in range(600):
            assert (await here.consumer.get()).payload == str(n).encode()
        await eventually(lambda: here.consumer.statistics().num_producers == 0)
        # The connection is forgotten with the next thing that happens.
        await here.producer()
        await eventually(lambda: len(here.consumer._intake.routing_ids) == 1)


async def test_what_comes_again_before_it_was_taken_is_given_once(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(b"a", b"b", b"c")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 3)
        producer.close()
        again = await here.producer(producer.producer_id)
        await again.put(b"b", first_id=1, num_deliveries=2)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 4)
        got = [await here.consumer.get() for _ in range(3)]
        assert sorted(message.payload for message in got) == [b"a", b"b", b"c"]
        assert here.consumer.get_nowait() is None
        statistics = here.consumer.statistics()
        assert (statistics.num_superseded, statistics.num_redelivered) == (1, 1)


async def test_what_a_producer_dropped_is_counted_once(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put(b"a", first_id=3, num_skipped=3)
        await producer.put(b"b", first_id=9, num_skipped=8)
        await producer.put(b"c", first_id=10, num_skipped=8)
        for _ in range(3):
            await here.consumer.get()
        producer.close()
        again = await here.producer(producer.producer_id)
        await again.put(b"d", first_id=12, num_skipped=9)
        await here.consumer.get()
        assert here.consumer.statistics().num_gaps == 9


async def test_close_tells_what_is_done_and_ends_those_who_wait(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(b"a", b"b", b"c")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 3)
        await here.consumer.get()
        waiting = asyncio.create_task(here.consumer.get_many(10))
        await waiting
        stuck = asyncio.create_task(here.consumer.get())
        await settle()
        await here.consumer.close()
        await here.consumer.close()
        with pytest.raises(ClosedError):
            await stuck
        with pytest.raises(ClosedError):
            here.consumer.get_nowait()
        await producer.told(3)
        assert here.consumer.undelivered() == []
        assert here.consumer.statistics().num_got == 3


async def test_close_tells_of_what_nobody_else_can_deliver(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        await here.producer_of(b"kept")
        goes = await here.producer_of(b"a", b"b")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 3)
        await here.end(goes)
        await here.consumer.close()
        left = here.consumer.undelivered()
        assert [message.payload for message in left] == [b"a", b"b"]
        assert here.consumer.undelivered() == []


async def test_what_it_owns_is_told_at_its_end_though_the_producer_is_there(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer()
        await producer.put(b"a", b"b", b"c")
        done, _ = [await here.consumer.get() for _ in range(2)]
        assert await producer.bid_goodbye() == 3
        done.ack()
        await producer.put(b"not its own", first_id=3)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 2)
        await here.consumer.close()
        left = here.consumer.undelivered()
        assert [message.payload for message in left] == [b"b", b"c"]


async def test_what_it_owns_and_is_given_back_comes_again_here(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer()
        await producer.put(b"a", b"b")
        before, after = [await here.consumer.get() for _ in range(2)]
        before.nack()
        assert await producer.bid_goodbye() == 2
        # Told before: it is the producer's.
        assert producer.returned == [0]
        after.nack()
        again = await here.consumer.get()
        assert (again.payload, again.num_deliveries) == (b"b", 2)
        assert here.consumer.get_nowait() is None


def test_one_that_ends_owns_nothing_more() -> None:
    intake = Intake(NAME, bytes(16), QueueOptions())
    for said in (encode_control(Hello(VERSION, NAME, bytes(16))), *parts_of(b"a", 0)):
        intake.receive(b"peer", [said])
    intake.answers.clear()
    intake.is_ending = True
    intake.receive(b"peer", [encode_control(Goodbye())])
    assert intake.answers == []
    assert intake.drop_all() == []


async def test_it_ends_with_its_context(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        stuck = asyncio.create_task(here.consumer.get())
        await settle()
        await here.own.aclose()
        with pytest.raises(ClosedError):
            await stuck


async def test_it_lives_through_the_end_of_a_loop_that_cancels_all(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await producer.put(b"a")
        assert (await here.consumer.get()).payload == b"a"


async def test_what_is_given_back_when_its_producer_is_gone_comes_again_here(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer_of(b"a")
        message = await here.consumer.get()
        await here.end(producer)
        waiting = asyncio.create_task(here.consumer.get())
        await settle()
        message.nack()
        again = await waiting
        assert (again.payload, again.num_deliveries) == (b"a", 2)
        again.ack()
        assert here.consumer.statistics().num_unacknowledged == 0
        await here.consumer.close()
        assert here.consumer.undelivered() == []


async def test_close_tells_of_what_was_not_acknowledged_to_one_that_is_gone(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        await here.producer_of(b"kept")
        goes = await here.producer_of(b"a", b"b")
        got = {}
        for _ in range(3):
            message = await here.consumer.get()
            got[message.payload] = message
        got[b"a"].ack()
        await here.end(goes)
        await here.consumer.close()
        assert [message.payload for message in here.consumer.undelivered()] == [b"b"]


async def test_close_finds_what_was_sent_last_by_one_that_is_gone(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, hwm_messages=4, prefetch_messages=4) as here:
        producer = await here.producer_of(*[str(n).encode() for n in range(40)])
        await here.end(producer)
        await here.consumer.close()
        left = [message.payload for message in here.consumer.undelivered()]
        assert left == [str(n).encode() for n in range(40)]


async def test_what_nobody_else_has_is_known_when_only_the_context_was_closed(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        await here.producer_of(b"kept")
        goes = await here.producer_of(b"a")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 2)
        await here.end(goes)
        here.own.close()
        assert [message.payload for message in here.consumer.undelivered()] == [b"a"]


async def test_what_comes_again_here_is_not_lost_with_one_who_is_cancelled(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer_of(b"a")
        message = await here.consumer.get()
        await here.end(producer)
        waiting = [asyncio.create_task(here.consumer.get()) for _ in range(2)]
        await eventually(lambda: here.consumer.statistics().num_waiting == 2)
        message.nack()
        waiting[0].cancel()
        assert (await waiting[1]).payload == b"a"
        await asyncio.gather(waiting[0], return_exceptions=True)
