"""Several publishers of one topic come, go, and take turns."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.topic.parties import PATIENCE, parties, payloads, take, topics
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, WaitTimeoutError

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_every_subscriber_gets_what_every_publisher_publishes(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        early = [found.topic().messages() for _ in range(2)]
        topics = [found.topic() for _ in range(3)]
        for number in range(50):
            for which, topic in enumerate(topics):
                await topic.pub([which, number])
        late = found.topic().messages(replay=50)
        for subscription in (*early, late):
            got = await payloads(subscription, 150)
            for which in range(3):
                numbers = [number for source, number in got if source == which]
                assert numbers == list(range(50))
            assert subscription.recv_nowait() is None


async def test_topic_hears_itself(backend: ModuleType, address: str) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        subscription = topic.messages()
        await topic.pub("x")
        assert await payloads(subscription, 1) == ["x"]


async def test_publishers_take_turns(backend: ModuleType, address: str) -> None:
    async with parties(backend, address) as found:
        topics = [found.topic() for _ in range(3)]
        subscription = found.topic().messages()
        for topic, count in zip(topics, (100, 5, 5), strict=True):
            for _ in range(count):
                await topic.pub(topics.index(topic))
        await eventually(lambda: subscription.statistics().num_queued == 110)
        assert sorted(await payloads(subscription, 15)) == [0] * 5 + [1] * 5 + [2] * 5


async def test_publisher_ends_and_another_goes_on(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        subscription = found.topic().messages()
        for life in range(4):
            topic = found.topic()
            for number in range(100):
                await topic.pub([life, number])
            # What it published must have arrived when it ends.
            await topic.pub([life, 100], wait_for_subscribers=1, timeout=PATIENCE)
            await found.end(topic)
        got = await payloads(subscription, 404)
        expected = [[life, number] for life in range(4) for number in range(101)]
        # Of one publisher in order; they take turns.
        assert sorted(got, key=lambda payload: payload[0]) == expected
        await eventually(lambda: not subscription.statistics().num_publishers)
        assert subscription.statistics().num_gaps == 0


async def test_what_came_of_a_publisher_that_ended_is_taken_later(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        # NB: over TCP it waits so long for a reader that is at its mark.
        topic = found.topic(linger=1.0)
        subscription = found.topic(hwm_messages=10).messages()
        for number in range(35):
            await topic.pub(number, wait_for_subscribers=1, timeout=PATIENCE)
            await settle()
        await found.end(topic)
        await settle()
        assert await payloads(subscription, 35) == list(range(35))
        await eventually(lambda: not subscription.statistics().num_publishers)


async def test_publisher_that_began_first_is_not_asked_for_the_past(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):
        for number in range(10):
            await topic.pub(number)
        async with other.messages() as live, other.messages(replay=3) as last:
            await live.wait_ready(PATIENCE)
            await last.wait_ready(PATIENCE)
            await topic.pub("live")
            assert await payloads(live, 1) == ["live"]
            assert await payloads(last, 4) == [7, 8, 9, "live"]


async def test_replay_is_of_each_key(backend: ModuleType, address: str) -> None:
    async with topics(backend, address) as (topic, other):
        for number in range(10):
            for key in ("a", "b"):
                await topic.pub(number, key=key)
        async with other.messages(replay=2) as subscription:
            got = await take(subscription, 4)
            for key in ("a", "b"):
                assert [m.payload for m in got if m.key == key] == [8, 9]


async def test_iteration_over_a_topic_ends_with_it(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):
        seen: list[Any] = []

        async def iterate() -> None:
            async for message in other:
                seen.append(message.payload)

        task = asyncio.create_task(iterate())
        await topic.pub("x", wait_for_subscribers=1, timeout=PATIENCE)
        await eventually(lambda: seen)
        await other.aclose()
        await task
        assert seen == ["x"]


async def test_iteration_that_is_broken_off_subscribes_no_more(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):

        async def first() -> Any:
            async for message in other:
                return message.payload
            return None

        task = asyncio.create_task(first())
        await topic.pub("x", wait_for_subscribers=1, timeout=PATIENCE)
        assert await task == "x"
        await eventually(lambda: not other.statistics().subscriptions)


async def test_closed_subscription_ends_all_that_waits(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        subscription = topic.messages()
        waiting = [asyncio.create_task(subscription.recv()) for _ in range(3)]
        publishing = asyncio.create_task(topic.pub(0, wait_for_subscribers=2))
        await settle()
        subscription.close()
        subscription.close()
        for task in waiting:
            with pytest.raises(ClosedError):
                await task
        assert [message async for message in subscription] == []
        with pytest.raises(ClosedError):
            subscription.recv_nowait()
        with pytest.raises(ClosedError):
            await subscription.wait_ready(PATIENCE)
        await topic.aclose()
        await topic.aclose()
        with pytest.raises(ClosedError):
            await publishing


async def test_cancelled_recv_loses_nothing(backend: ModuleType, address: str) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        subscription = found.topic().messages()
        got: list[Any] = []
        for number in range(600):
            waiting = asyncio.create_task(subscription.recv())
            await settle(number % 5)
            await topic.pub(number)
            await settle(number % 3)
            waiting.cancel()
            (result,) = await asyncio.gather(waiting, return_exceptions=True)
            if not isinstance(result, BaseException):
                got.append(result.payload)
        got += await payloads(subscription, 600 - len(got))
        assert got == list(range(600))


async def test_subscribers_that_do_not_come_are_waited_for_in_vain(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        with pytest.raises(WaitTimeoutError):
            await topic.pub("not published", wait_for_subscribers=1, timeout=0.02)
        waiting = asyncio.create_task(topic.pub("cancelled", wait_for_subscribers=1))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        subscription = found.topic().messages(replay=5)
        assert await topic.pub("first", wait_for_subscribers=1) == 0
        assert await payloads(subscription, 1) == ["first"]


async def test_task_that_only_publishes_gives_way(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        await topic.pub(0)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(1024):
            await topic.pub(b"x")
        assert turns >= 3
        before = turns
        for _ in range(8):
            await topic.pub(bytes(1 << 20))
        assert turns >= before + 3
        counting.cancel()


async def test_task_that_only_receives_gives_way(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        subscription = found.topic().messages()
        for number in range(900):
            await topic.pub(number)
        await eventually(lambda: subscription.statistics().num_queued == 900)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        assert await payloads(subscription, 900) == list(range(900))
        assert turns >= 3
        counting.cancel()
