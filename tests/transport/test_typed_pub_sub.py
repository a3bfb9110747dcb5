"""Typed publish/subscribe: what is published arrives typed, in order, and once."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.transport.typed_messages import (
    CODEC,
    PATIENCE,
    Sample,
    follow,
    publish,
    publishing,
    ready_pair,
    samples,
    take,
)
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.transport import MessagePublisher, MessageSubscriber

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


async def test_messages_arrive_in_order(
    backend: ModuleType, publisher_address: str
) -> None:
    async with ready_pair(backend, publisher_address) as (publisher, subscriber):
        publish(publisher, samples(0, 2000))
        assert await take(subscriber, 2000) == samples(0, 2000)
        assert subscriber.recv_nowait() is None
        assert subscriber.statistics().num_gaps == 0


async def test_inproc_works_alike(backend: ModuleType) -> None:
    async with ready_pair(backend, "inproc://typed") as (publisher, subscriber):
        assert publisher.replay_address == "inproc://typed.replay"
        publish(publisher, samples(0, 10))
        assert await take(subscriber, 10) == samples(0, 10)


async def test_subscriber_is_an_asynchronous_iterator(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        publish(publisher, samples(0, 5))
        seen = []
        async for sample in subscriber:
            seen.append(sample)
            if len(seen) == 5:
                subscriber.close()
        assert seen == samples(0, 5)


async def test_tasks_that_receive_at_once_take_turns(
    backend: ModuleType, ipc: Ipc
) -> None:
    taken: list[int] = []

    async def receive(number: int) -> None:
        async for _ in subscriber:
            taken.append(number)

    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        tasks = [asyncio.create_task(receive(number)) for number in range(3)]
        await settle()
        for num_sent in range(2, 14, 2):
            publish(publisher, samples(num_sent - 2, num_sent))
            await eventually(lambda: len(taken) == num_sent)  # noqa: B023
        subscriber.close()
        await asyncio.gather(*tasks)
    assert taken == [0, 1, 2] * 4


async def test_subscriber_gets_its_topics_alone(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), topics=["a.", b"b"]) as pair:
        publisher, subscriber = pair
        assert subscriber.topics == [b"a.", b"b"]
        for number in range(20):
            for topic in ("a", "a.x", "bb", "c"):
                publisher.publish(Sample(topic, number))
        got = await take(subscriber, 40)
        assert [s for s in got if s.topic == "a.x"] == samples(0, 20, "a.x")
        assert [s for s in got if s.topic == "bb"] == samples(0, 20, "bb")


async def test_single_string_is_one_topic(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        async with MessageSubscriber(CODEC, ipc("a"), ctx, topics="abc") as subscriber:
            assert subscriber.topics == [b"abc"]
        async with MessageSubscriber(CODEC, ipc("a"), ctx, topics=[]) as subscriber:
            assert subscriber.topics == [b""]


async def test_topics_come_and_go(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), topics=["a"]) as (publisher, subscriber):
        subscriber.subscribe("b")
        subscriber.subscribe("b")
        assert not subscriber.statistics().is_ready
        await subscriber.wait_ready(PATIENCE)
        publisher.publish(Sample("b", 0))
        assert await subscriber.recv() == Sample("b", 0)
        subscriber.unsubscribe("b")
        with pytest.raises(LocalProtocolError, match="not subscribed to b'b'"):
            subscriber.unsubscribe("b")
        publisher.publish(Sample("b", 1))
        publisher.flush()
        publisher.publish(Sample("a", 2))
        assert await subscriber.recv() == Sample("a", 2)


async def test_what_is_published_once_ready_arrives(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        for number in range(30):
            async with follow(ctx, publisher) as subscriber:
                await subscriber.wait_ready(PATIENCE)
                publisher.publish(Sample("t", number))
                assert await subscriber.recv() == Sample("t", number)


async def test_what_is_published_once_subscribers_are_counted_arrives(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        waiting = asyncio.create_task(publisher.wait_subscribers(2))
        async with follow(ctx, publisher, topics=["t"]) as first:
            await publisher.wait_subscribers(1, "t")
            await settle()
            assert not waiting.done()
            async with follow(ctx, publisher) as second:
                await waiting
                publisher.publish(Sample("t", 0))
                assert await first.recv() == Sample("t", 0)
                assert await second.recv() == Sample("t", 0)


async def test_subscriber_may_come_before_its_publisher(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        subscriber = MessageSubscriber(CODEC, ipc("a"), ctx)
        with pytest.raises(WaitTimeoutError):
            await subscriber.wait_ready(0.05)
        async with MessagePublisher(CODEC, ipc("a"), ctx) as publisher:
            await subscriber.wait_ready(PATIENCE)
            publisher.publish(Sample("t", 0))
            assert await subscriber.recv() == Sample("t", 0)
        await eventually(lambda: not subscriber.statistics().is_ready)
        await subscriber.aclose()


async def test_messages_of_one_turn_travel_together(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        publish(publisher, samples(0, 100))
        assert publisher.buffered_count == 100
        assert await take(subscriber, 100) == samples(0, 100)
        assert publisher.statistics().num_batches == 1


async def test_batch_is_limited(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), {"max_batch": 10}) as pair:
        publisher, subscriber = pair
        publish(publisher, samples(0, 25))
        assert publisher.buffered_count == 5
        assert await take(subscriber, 25) == samples(0, 25)
        assert publisher.statistics().num_batches == 3


async def test_batch_waits_for_its_delay_or_for_flush(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a"), {"max_delay": 3600.0}) as pair:
        publisher, subscriber = pair
        publish(publisher, samples(0, 3))
        await settle()
        assert publisher.statistics().num_buffered == 3
        assert subscriber.recv_nowait() is None
        publisher.flush()
        assert publisher.buffered_count == 0
        assert await take(subscriber, 3) == samples(0, 3)


async def test_delay_ends(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), {"max_delay": 1.0}) as pair:
        publisher, subscriber = pair
        publisher.publish(Sample("t", 0))
        await settle()
        publisher.publish(Sample("t", 1))
        assert await take(subscriber, 2) == samples(0, 2)
        assert publisher.statistics().num_batches == 1


async def test_large_message_travels_alone_and_in_its_place(
    backend: ModuleType, publisher_address: str
) -> None:
    async with ready_pair(backend, publisher_address) as (publisher, subscriber):
        sizes = [0, 100_000, 1, 3 << 20, 2, 17_000]
        messages = [Sample("t", n, bytes(nbytes)) for n, nbytes in enumerate(sizes)]
        publish(publisher, messages)
        assert await take(subscriber, len(sizes)) == messages


async def test_close_flushes(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), {"max_delay": 3600.0}) as pair:
        publisher, subscriber = pair
        publish(publisher, samples(0, 3))
        publisher.close()
        publisher.close()
        assert publisher.is_closed
        assert await take(subscriber, 3) == samples(0, 3)
        with pytest.raises(ClosedError):
            publisher.publish(Sample("t", 3))


async def test_cancelled_recv_loses_nothing(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        received: list[Sample] = []
        for number in range(50):
            waiting = asyncio.create_task(subscriber.recv())
            await settle(number % 7)
            publisher.publish(Sample("t", number))
            await settle(number % 5)
            waiting.cancel()
            (result,) = await asyncio.gather(waiting, return_exceptions=True)
            if isinstance(result, Sample):
                received.append(result)
        received += await take(subscriber, 50 - len(received))
        assert received == samples(0, 50)


async def test_close_ends_all_that_waits(backend: ModuleType, ipc: Ipc) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        subscriber = MessageSubscriber(CODEC, ipc("nobody"), ctx)
        waiting = [
            asyncio.create_task(subscriber.recv()),
            asyncio.create_task(subscriber.wait_ready()),
            asyncio.create_task(publisher.wait_subscribers(1)),
        ]
        await settle()
        subscriber.close()
        subscriber.close()
        publisher.close()
        assert subscriber.is_closed
        for task in waiting:
            with pytest.raises(ClosedError):
                await task
        with pytest.raises(ClosedError):
            await subscriber.recv()
        with pytest.raises(ClosedError):
            subscriber.poll()
        assert [message async for message in subscriber] == []
        await subscriber.aclose()


async def test_closing_the_context_ends_both(backend: ModuleType, ipc: Ipc) -> None:
    ctx = backend.Context()
    publisher = MessagePublisher(CODEC, ipc("a"), ctx)
    subscriber = follow(ctx, publisher)
    await subscriber.wait_ready(PATIENCE)
    waiting = asyncio.create_task(subscriber.recv())
    await settle()
    await ctx.aclose()
    with pytest.raises(ClosedError):
        await waiting
    await publisher.aclose()
    await subscriber.aclose()


class Collecting(MessageSubscriber[Sample]):
    """What a caller of mlcommons/endpoints writes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.received: list[Sample] = []

    async def process(self, items: list[Sample]) -> None:
        await asyncio.sleep(0)
        self.received += items


class PaddedCodec:
    """Its codecs pad the topic, and give a stand-in for what does not decode."""

    def encode(self, item: Sample) -> tuple[bytes, bytes]:
        return item.topic.encode().ljust(40, b"\0"), msgspec.msgpack.encode(item)

    def decode(self, payload: bytes) -> Sample:
        return msgspec.msgpack.decode(payload, type=Sample)

    def on_decode_error(self, payload: bytes, exc: Exception) -> Sample | None:
        assert isinstance(exc, msgspec.DecodeError)
        return Sample("stand-in", len(payload))


async def test_callers_of_endpoints_find_what_they_use(
    backend: ModuleType, ipc: Ipc
) -> None:
    loop = asyncio.get_running_loop()
    async with backend.Context() as ctx:
        publisher = MessagePublisher(PaddedCodec(), ipc("a"), ctx, loop=loop)
        subscriber = Collecting(PaddedCodec(), ipc("a"), ctx, loop, topics=["session."])
        assert publisher.bind_address == subscriber.connect_address
        subscriber.start()
        subscriber.start()
        await subscriber.wait_ready(PATIENCE)
        publisher.publish(Sample("session.ended", 1))
        publisher.publish(Sample("sample.issued", 2))
        publisher.send(b"session.x", b"\xc1\xc1")
        publisher.flush()
        await eventually(lambda: len(subscriber.received) == 2)
        assert subscriber.received == [
            Sample("session.ended", 1),
            Sample("stand-in", 2),
        ]
        publisher.close()
        subscriber.close()
        await subscriber.aclose()
        await publisher.aclose()


async def test_process_may_close_its_subscriber_and_goes_on_to_its_end(
    backend: ModuleType, ipc: Ipc
) -> None:
    class Closing(Collecting):
        async def process(self, items: list[Sample]) -> None:
            await self.aclose()
            await super().process(items)

    async with publishing(backend, ipc("a")) as (ctx, publisher):
        subscriber = Closing(CODEC, ipc("a"), ctx)
        subscriber.start()
        await subscriber.wait_ready(PATIENCE)
        publisher.publish(Sample("t", 0))
        await eventually(lambda: subscriber.is_closed)
        await subscriber.aclose()
        assert subscriber.received == [Sample("t", 0)]


async def test_error_in_process_is_told_and_the_next_batch_comes(
    backend: ModuleType, ipc: Ipc
) -> None:
    class Failing(Collecting):
        async def process(self, items: list[Sample]) -> None:
            if items[0].number == 0:
                raise ZeroDivisionError
            await super().process(items)

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context["exception"])
    )
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        subscriber = Failing(CODEC, ipc("a"), ctx)
        subscriber.start()
        await subscriber.wait_ready(PATIENCE)
        publisher.publish(Sample("t", 0))
        await eventually(lambda: told)
        publisher.publish(Sample("t", 1))
        await eventually(lambda: subscriber.received)
        assert isinstance(told[0], ZeroDivisionError)
        await subscriber.aclose()
