"""A consumer takes what its producers send."""

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.consuming import scene
from tests.fmq.raw_producer import parts_of
from tests.transport.waiting import eventually, settle

from busduct.fmq._descriptor import Descriptor
from busduct.fmq._wire import VERSION, Welcome


async def test_messages_come_in_order_with_what_is_known_of_them(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put(b"one", b"two" * 20000, first_id=7)
        first, second = [await here.consumer.get() for _ in range(2)]
        assert (first.payload, second.payload) == (b"one", b"two" * 20000)
        assert (first.msg_id, second.msg_id) == (7, 8)
        assert first.timestamp <= second.timestamp
        assert first.producer_id == producer.producer_id.hex()
        assert (first.num_deliveries, first.descriptor) == (1, None)


async def test_a_producer_is_welcomed_while_nobody_takes_anything(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    options = {"prefetch_messages": 3, "prefetch_bytes": 4, "max_message_bytes": 5}
    async with scene(backend, ipc_dir, **options) as here:
        first = await here.producer()
        await first.put(b"x", b"y")
        second = here.stranger()
        welcome = await second.greet()
        assert welcome == Welcome(VERSION, welcome.consumer_id, 3, 4, 5)
        assert len(welcome.consumer_id) == 16


async def test_each_of_several_who_wait_gets_one(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        tasks = [asyncio.create_task(here.consumer.get()) for _ in range(5)]
        await eventually(lambda: here.consumer.statistics().num_waiting == 5)
        await producer.put(*[bytes([n]) for n in range(5)])
        got = [(await task).payload[0] for task in tasks]
        assert got == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_get_loses_nothing(
    backend: ModuleType, any_loop: str, ipc_dir: Path, turns: int
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        tasks = [asyncio.create_task(here.consumer.get()) for _ in range(3)]
        await eventually(lambda: here.consumer.statistics().num_waiting == 3)
        await producer.put(b"a", b"b")
        await settle(turns)
        tasks[0].cancel()
        results = await asyncio.gather(tasks[0], return_exceptions=True)
        got = [found.payload for found in results if not _is_error(found)]
        while len(got) < 2:
            done, _ = await asyncio.wait(tasks[1:], return_when="FIRST_COMPLETED")
            got += [task.result().payload for task in done]
            tasks = [task for task in tasks if task not in done]
        assert sorted(got) == [b"a", b"b"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await producer.put(b"c", first_id=2)
        assert (await here.consumer.get()).payload == b"c"


def _is_error(found: Any) -> bool:
    return isinstance(found, BaseException)


async def test_what_is_there_comes_without_giving_way(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put(*[b"x"] * 10)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 10)
        for _ in range(10):
            with pytest.raises(StopIteration) as stopped:
                here.consumer.get().send(None)
            assert stopped.value.value.payload == b"x"


async def test_who_takes_what_is_there_gives_others_a_turn_at_last(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put(*[bytes(1 << 20)] * 6)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 6)
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        for _ in range(6):
            await here.consumer.get()
        assert turns


async def test_many_are_taken_at_once_in_the_order_of_each_producer(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        assert here.consumer.get_many_nowait(10) == []
        waiting = asyncio.create_task(here.consumer.get_many(10))
        await settle()
        await producer.put(b"0")
        assert [message.payload for message in await waiting] == [b"0"]
        await producer.put(b"1", b"2", b"3", first_id=1)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 3)
        got = await here.consumer.get_many(2)
        assert [message.payload for message in got] == [b"1", b"2"]
        assert [m.payload for m in await here.consumer.get_many(9)] == [b"3"]


async def test_producers_take_turns_whoever_was_first(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producers = [await here.producer() for _ in range(3)]
        for producer in producers:
            await producer.put(*[b"x"] * 20)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 60)
        firsts = [await here.consumer.get() for _ in range(6)]
        counts: dict[str | None, int] = {}
        for message in firsts:
            counts[message.producer_id] = counts.get(message.producer_id, 0) + 1
        assert sorted(counts.values()) == [2, 2, 2]


async def test_producers_find_it_by_the_name_of_the_queue(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        await here.consumer.wait_registered()


async def test_what_is_said_before_the_answer_is_taken(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = here.stranger()
        await producer.say([producer.hello()])
        await producer.say(parts_of(b"early", 0))
        assert (await here.consumer.get()).payload == b"early"


async def test_a_large_message_says_so_by_a_descriptor_that_was_read(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put(b"x" * 1000, is_large=True)
        message = await here.consumer.get()
        assert message.descriptor == Descriptor("", 1000)
