"""Messages that come together are taken and answered one by one."""

import asyncio
from pathlib import Path
from types import ModuleType

from tests.fmq.consuming import scene
from tests.fmq.raw_producer import run_of
from tests.transport.waiting import eventually

FIVE = [b"0", b"1", b"2", b"3", b"4"]


async def test_they_are_taken_one_by_one(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE, first_id=7)
        got = [await here.consumer.get() for _ in FIVE]
        assert [each.payload for each in got] == FIVE
        assert [each.msg_id for each in got] == list(range(7, 12))
        assert {each.num_deliveries for each in got} == {1}
        assert {each.descriptor for each in got} == {None}
        await producer.told(5)
        assert here.consumer.statistics().num_acknowledged == 5


async def test_each_of_several_who_wait_gets_one_of_a_run(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        tasks = [asyncio.create_task(here.consumer.get()) for _ in FIVE]
        await eventually(lambda: here.consumer.statistics().num_waiting == 5)
        await producer.put_run(*FIVE)
        got = await asyncio.wait_for(asyncio.gather(*tasks), 30)
        assert sorted(each.payload for each in got) == FIVE


async def test_what_was_not_taken_of_a_run_is_not_acknowledged(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        got = [(await here.consumer.get()).payload for _ in range(2)]
        assert got == FIVE[:2]
        assert here.consumer.statistics().num_prefetched == 3
        await here.consumer.close()
        await producer.told(2)
        assert not here.consumer.undelivered()


async def test_one_in_the_middle_of_a_run_is_given_back(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        got = [await here.consumer.get() for _ in FIVE]
        got[4].ack()
        got[1].nack()
        got[0].ack()
        await producer.told(2, 4)
        assert producer.returned == [1]


async def test_who_ends_is_told_how_many_messages_its_runs_were(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        await producer.put(b"alone", first_id=5)
        await producer.put_run(*FIVE, first_id=6)
        assert await producer.bid_goodbye() == 11


async def test_what_a_run_says_was_dropped_is_a_gap(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.say([run_of(*FIVE, first_id=9, num_skipped=9)])
        for _ in FIVE:
            await here.consumer.get()
        assert here.consumer.statistics().num_gaps == 9
