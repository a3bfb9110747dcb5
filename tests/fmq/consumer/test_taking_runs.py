"""Messages that come together are taken and answered one by one."""

import asyncio
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.consuming import scene
from tests.fmq.raw_producer import run_of
from tests.transport.waiting import eventually

from busduct.fmq._consumer import _channel
from busduct.fmq._message import Message

FIVE = [b"0", b"1", b"2", b"3", b"4"]
FORTY = [b"%d" % number for number in range(40)]


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


async def test_whoever_looks_sees_each_as_it_was_taken(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        for number, payload in enumerate(FIVE, 1):
            message = await here.consumer.get()
            assert message.payload == payload
            seen = here.consumer.statistics()
            assert (seen.num_got, seen.num_acknowledged) == (number, number)
            assert seen.num_prefetched == len(FIVE) - number
            assert seen.prefetched_nbytes == len(FIVE) - number


async def test_a_producer_is_told_before_its_window_is_full(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(backend, ipc_dir, prefetch_messages=32) as here:
        producer = await here.producer()
        # Not because time goes by.
        monkeypatch.setattr(_channel, "TELL_SECONDS", 60.0)
        await producer.put_run(*FORTY[:20])
        for _ in range(20):
            await here.consumer.get()
        await producer.told(16)
        assert producer.num_acks == 2


async def test_what_was_taken_of_a_lost_producer_is_done_with(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        got = [await here.consumer.get() for _ in range(2)]
        await here.end(producer)
        got.append(await here.consumer.get())
        assert [each.payload for each in got] == FIVE[:3]
        await here.consumer.close()
        left = here.consumer.undelivered()
        assert [each.payload for each in left] == FIVE[3:]


async def test_producers_of_many_small_messages_have_their_turns(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        one, other = await here.producer(), await here.producer()
        for producer in (one, other):
            await producer.put_run(*FORTY)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 80)
        got = [await here.consumer.get() for _ in range(80)]
        turns = [(who, len(list(each))) for who, each in groupby(got, _producer_of)]
        # An eighth of what each has left.
        assert [count for _, count in turns[:6]] == [5, 5, 4, 4, 3, 3]
        assert len({who for who, _ in turns[:2]}) == 2
        assert len({who for who, _ in turns[::2]}) == 1


async def test_what_came_again_is_not_taken_from_what_was_ready(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer()
        await producer.put_run(*FIVE)
        got = [await here.consumer.get() for _ in range(2)]
        # It sends what is left on another connection, before the first is seen to end.
        again = await here.producer(producer.producer_id)
        await again.put(*FIVE[2:], first_id=2, num_deliveries=2)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 6)
        got += [await here.consumer.get() for _ in range(3)]
        assert [each.payload for each in got] == FIVE
        assert here.consumer.statistics().num_prefetched == 0


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


def _producer_of(message: Message) -> str | None:
    return message.producer_id
