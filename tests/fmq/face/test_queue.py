"""What producers and consumers of a queue can rely on, through `FMQ`."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.processes.conditions import until

from busduct.errors import (
    ClosedError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    WaitTimeoutError,
)
from busduct.fmq import FMQ, Message, Queue, Role
from busduct.statistics import QueueConsumerStatistics, QueueProducerStatistics

pytestmark = pytest.mark.usefixtures("home", "no_leaks")


def payloads_of(messages: list[Message]) -> list[object]:
    return [message.payload for message in messages]


async def take(queue: Queue, count: int) -> list[object]:
    """Take so many payloads."""
    messages: list[Message] = []
    while len(messages) < count:
        messages += await queue.get_many(count - len(messages), timeout=20_000)
    return payloads_of(messages)


async def is_connected(producer: Queue, num_consumers: int) -> None:
    def is_so() -> bool:
        statistics = producer.statistics()
        assert isinstance(statistics, QueueProducerStatistics)
        return statistics.num_consumers == num_consumers

    await until(is_so)


async def test_what_is_put_is_got(any_loop: str) -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        consumer = fmq.queue("q", role="consumer")
        before = time.time()
        assert await producer.put(b"hello") == 0
        assert await producer.put({"k": ["v", 1, None]}) == 1
        first = await consumer.get(timeout=20_000)
        second = await consumer.get(timeout=20_000)
    assert first is not None
    assert second is not None
    assert (first.payload, first.msg_id, first.descriptor) == (b"hello", 0, None)
    assert before <= first.timestamp <= second.timestamp <= time.time()
    assert (second.payload, second.msg_id) == ({"k": ["v", 1, None]}, 1)
    assert first.producer_id == second.producer_id


async def test_what_is_at_the_threshold_has_a_descriptor() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        await producer.put(bytes(1 << 20))
        await producer.put(bytes(1 << 20), shm_threshold=(1 << 20) + 1)
        large = await consumer.get(timeout=20_000)
        small = await consumer.get(timeout=20_000)
    assert large is not None
    assert large.descriptor.size == 1 << 20
    assert small is not None
    assert small.descriptor is None


async def test_a_queue_tells_its_name_and_role() -> None:
    async with FMQ() as fmq:
        queue = fmq.queue("q", Role.CONSUMER)
        assert (queue.name, queue.role) == ("q", Role.CONSUMER)
        assert repr(queue) == "<Queue 'q' consumer>"
        assert fmq.queue("other").context is queue.context


async def test_a_role_there_is_none_of_is_refused() -> None:
    with pytest.raises(ConfigError, match="'producer' or 'consumer'"):
        FMQ().queue("q", "reader")


async def test_the_wrong_role_is_not_permitted() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        with pytest.raises(PermissionError, match="Only producers can send"):
            await consumer.put(b"")
        with pytest.raises(PermissionError, match="Only producers can send"):
            await consumer.put_many([b""])
        with pytest.raises(PermissionError, match="Only consumers can get"):
            await producer.get()
        with pytest.raises(PermissionError, match="Only consumers can get"):
            await producer.get_many()


async def test_nobody_putting_ends_a_get_with_its_timeout(any_loop: str) -> None:
    async with FMQ() as fmq:
        consumer = fmq.queue("q", "consumer")
        begun = time.monotonic()
        assert await consumer.get(timeout=50) is None
        # NB: timers of uvloop may be early by a millisecond.
        assert time.monotonic() - begun >= 0.049
        assert await consumer.get_many(timeout=1) == []
        with pytest.raises(WaitTimeoutError):
            await consumer.get(1, raise_on_timeout=True)
        with pytest.raises(ConfigError, match="-1 ms"):
            await consumer.get(timeout=-1)


async def test_a_timeout_of_0_waits_for_ever() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        getting = asyncio.create_task(consumer.get(timeout=0))
        await is_connected(producer, 1)
        assert not getting.done()
        await producer.put("late")
        message = await getting
    assert message is not None
    assert message.payload == "late"


async def test_a_cancelled_get_loses_nothing() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        await is_connected(producer, 1)
        for number in range(20):
            getting = asyncio.create_task(consumer.get())
            await asyncio.sleep(0)
            await producer.put(number)
            getting.cancel()
            (ended,) = await asyncio.gather(getting, return_exceptions=True)
            if not isinstance(ended, Message):
                ended = await consumer.get(timeout=20_000)
            assert isinstance(ended, Message)
            assert ended.payload == number


async def test_messages_wait_for_the_first_consumer(any_loop: str) -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        assert await producer.put_many(range(1000)) == list(range(1000))
        assert await take(fmq.queue("q", "consumer"), 1000) == list(range(1000))


async def test_many_at_once_come_in_order() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        await producer.put_many([f"m{number}" for number in range(3000)])
        assert await take(consumer, 3000) == [f"m{number}" for number in range(3000)]


async def test_consumers_share_what_producers_put(any_loop: str) -> None:
    async with FMQ() as fmq:
        consumers = [fmq.queue("q", "consumer", prefetch_messages=8) for _ in range(3)]
        producers = [fmq.queue("q") for _ in range(3)]
        for producer in producers:
            await is_connected(producer, 3)
        got: list[list[object]] = [[], [], []]

        async def consume(index: int) -> None:
            async for message in consumers[index]:
                got[index].append(message.payload)
                await asyncio.sleep(0)

        consuming = [asyncio.create_task(consume(index)) for index in range(3)]
        for number in range(200):
            for index, producer in enumerate(producers):
                await producer.put([index, number])
        await until(lambda: sum(map(len, got)) == 600)
        await fmq.close()
        await asyncio.gather(*consuming)
    everything = [(index, number) for index in range(3) for number in range(200)]
    assert sorted(tuple(each) for some in got for each in some) == everything
    assert min(map(len, got)) > 100


async def test_a_consumer_that_goes_returns_what_it_did_not_acknowledge() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        first = fmq.queue("q", "consumer", ack="manual")
        await producer.put_many(["a", "b", "c", "d"])
        messages = [await first.get(timeout=20_000) for _ in range(3)]
        assert messages[0] is not None
        messages[0].ack()
        await first.close()
        second = fmq.queue("q", "consumer")
        left = [await second.get(timeout=20_000) for _ in range(3)]
        assert [message.payload for message in left if message] == ["b", "c", "d"]
        assert [message.num_deliveries for message in left if message] == [2, 2, 2]
        assert await producer.wait_acknowledged(20)


async def test_a_consumer_that_goes_hands_on_what_the_gone_had_sent(
    any_loop: str,
) -> None:
    async with FMQ() as fmq:
        first = fmq.queue("q", "consumer")
        async with FMQ() as other:
            producer = other.queue("q")
            await producer.put_many(["a", "b", "c"])
            await is_connected(producer, 1)
        message = await first.get(timeout=20_000)
        assert message is not None
        assert message.payload == "a"
        await first.close()
        second = fmq.queue("q", "consumer")
        left = [await second.get(timeout=20_000) for _ in range(2)]
        assert [each.payload for each in left if each] == ["b", "c"]
        assert {each.producer_id for each in left if each} == {message.producer_id}
        assert [each.msg_id for each in left if each] == [1, 2]


async def test_a_message_that_is_given_back_comes_again() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        consumer = fmq.queue("q", "consumer", ack="manual")
        await producer.put("again")
        message = await consumer.get(timeout=20_000)
        assert message is not None
        message.nack()
        message = await consumer.get(timeout=20_000)
        assert message is not None
        assert (message.payload, message.num_deliveries) == ("again", 2)
        message.ack()
        assert await producer.wait_acknowledged(20)


async def test_what_is_got_is_acknowledged_by_itself() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        await producer.put("a")
        assert not await producer.wait_acknowledged(0.05)
        await consumer.get(timeout=20_000)
        assert await producer.wait_acknowledged(20)
        assert await producer.flush(20)


async def test_a_full_queue_makes_put_wait() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", hwm_messages=2)
        await producer.put_many([0, 1])
        putting = asyncio.create_task(producer.put(2))
        await asyncio.sleep(0.02)
        assert not putting.done()
        cancelled = asyncio.create_task(producer.put("never"))
        await asyncio.sleep(0.02)
        cancelled.cancel()
        consumer = fmq.queue("q", "consumer")
        assert await take(consumer, 3) == [0, 1, 2]
        assert await putting == 2
        assert await consumer.get(timeout=50) is None


async def test_a_full_queue_refuses() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", on_full="error", hwm_messages=2)
        await producer.put_many([0, 1])
        with pytest.raises(FullError):
            await producer.put(2)
        assert await take(fmq.queue("q", "consumer"), 2) == [0, 1]


@pytest.mark.parametrize(
    ("on_full", "left"), [("drop_new", [0, 1]), ("drop_old", [2, 3])]
)
async def test_a_full_queue_drops_and_consumers_learn_of_it(
    on_full: str, left: list[int]
) -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", on_full=on_full, hwm_messages=2)
        assert [await producer.put(number) for number in range(4)] == [0, 1, 2, 3]
        consumer = fmq.queue("q", "consumer")
        assert await take(consumer, 2) == left
        await producer.wait_acknowledged(20)
        await producer.put("last")
        assert await take(consumer, 1) == ["last"]
        counted = consumer.statistics()
        assert isinstance(counted, QueueConsumerStatistics)
        assert counted.num_gaps == 2


async def test_a_queue_is_bounded_by_bytes() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", on_full="error", hwm_bytes=1000, linger=0.0)
        # What is larger than the bound is taken where nothing else is held.
        await producer.put(bytes(2000))
        with pytest.raises(FullError):
            await producer.put(b"x")


async def test_a_message_over_the_limit_is_refused() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", max_message_bytes=1000, linger=0.0)
        with pytest.raises(FrameTooLargeError) as caught:
            await producer.put(bytes(1001))
        assert (caught.value.size, caught.value.limit) == (1001, 1000)
        await producer.put(bytes(1000))


async def test_4_gib_are_refused_without_being_touched(home: Path) -> None:
    # Of a sparse file nothing is in memory before it is read.
    import mmap

    path = home / "large"
    with path.open("wb") as file:
        file.truncate(4 << 30)
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(mapped)
        for payload in (view, [1, {"part": view}]):
            with pytest.raises(FrameTooLargeError) as caught:
                await producer.put(payload)
            assert caught.value.size >= 4 << 30
        view.release()
        mapped.close()
        assert producer.statistics().num_put == 0
    path.unlink()


async def test_payloads_are_checked_against_a_type() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        consumer = fmq.queue("q", "consumer", type=list[int])
        await producer.put("not a list")
        await producer.put([1, 2])
        message = await consumer.get(timeout=20_000)
        assert message is not None
        assert message.payload == [1, 2]
        counted = consumer.statistics()
        assert isinstance(counted, QueueConsumerStatistics)
        assert counted.num_undecodable == 1
        assert len(consumer.recent_errors()) == 1


async def test_a_closed_queue_does_nothing_more() -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        getting = asyncio.create_task(consumer.get())
        await asyncio.sleep(0)
        await consumer.close()
        await producer.close()
        await producer.close()
        with pytest.raises(ClosedError):
            await getting
        with pytest.raises(ClosedError):
            await producer.put(b"")
        with pytest.raises(ClosedError):
            await consumer.get()
        assert [message async for message in consumer] == []


async def test_closing_hands_over_what_waits() -> None:
    async with FMQ() as fmq:
        consumer = fmq.queue("q", "consumer", prefetch_messages=1)
        async with fmq.queue("q") as producer:
            await producer.put_many(range(100))
        assert await take(consumer, 100) == list(range(100))


async def test_what_nobody_took_can_be_taken_back() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", linger=0.01)
        await producer.put_many([b"a", b"b"])
        await producer.close()
    assert [encoded.body for encoded in producer.undelivered()] == [b"a", b"b"]
