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

from busduct.codec import MessageCodec
from busduct.errors import (
    AddressInUseError,
    ClosedError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    MalformedFrameError,
    RemoteProtocolError,
    WaitTimeoutError,
)
from busduct.transport import MessagePublisher, MessageSubscriber
from busduct.transport._records import Batch, encode_batch

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


async def test_messages_arrive_in_order(backend: ModuleType, address: str) -> None:
    async with ready_pair(backend, address) as (publisher, subscriber):
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
    async with ready_pair(backend, ipc("a"), {"max_delay": 0.02}) as pair:
        publisher, subscriber = pair
        publisher.publish(Sample("t", 0))
        await settle()
        publisher.publish(Sample("t", 1))
        assert await take(subscriber, 2) == samples(0, 2)
        assert publisher.statistics().num_batches == 1


async def test_large_message_travels_alone_and_in_its_place(
    backend: ModuleType, address: str
) -> None:
    async with ready_pair(backend, address) as (publisher, subscriber):
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


async def test_garbage_of_a_foreign_publisher_is_passed_over(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        pub = ctx.socket(backend.PUB)
        pub.bind(ipc("a"))
        subscriber = MessageSubscriber(CODEC, ipc("a"), ctx)
        await pub.wait_subscribers(1)
        good = encode_batch(Batch(b"t", 7, 0, [CODEC.encode(Sample("t", 0))[1]]))
        for parts in (
            [b"t"],
            [b"t", b"x" * 24, b"y"],
            [b"t", b"", b"", b""],
            [b"t", good[1], good[2] + b"more"],
            encode_batch(Batch(b"t", 7, 0, [b"\xc1", msgspec.msgpack.encode([])])),
        ):
            await pub.send_multipart(parts)
        follower = Batch(b"t", 7, 2, [CODEC.encode(Sample("t", 2))[1]])
        await pub.send_multipart(encode_batch(follower))
        assert await subscriber.recv() == Sample("t", 2)
        assert subscriber.statistics().num_malformed == 6
        kinds = [type(error) for error in subscriber.recent_errors()]
        assert kinds == [MalformedFrameError] * 5 + [RemoteProtocolError]
        assert pub.statistics().num_peers == 1
        await subscriber.aclose()


async def test_requests_that_are_none_are_passed_over(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(publisher.replay_address)
        await dealer.send(b"\xc1")
        await dealer.send_multipart([b"two", b"parts"])
        await eventually(lambda: publisher.statistics().num_malformed == 2)
        assert len(publisher.recent_errors()) == 2
        async with follow(ctx, publisher) as subscriber:
            await subscriber.wait_ready(PATIENCE)


async def test_too_large_is_refused_here_and_passed_over_there(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a"), max_message_bytes=2000) as found:
        ctx, publisher = found
        small = MessageCodec(Sample, max_message_bytes=500)
        async with MessageSubscriber(small, ipc("a"), ctx) as subscriber:
            await subscriber.wait_ready(PATIENCE)
            with pytest.raises(FrameTooLargeError):
                publisher.publish(Sample("t", 0, bytes(2000)))
            publisher.publish(Sample("t", 1, bytes(1000)))
            publisher.publish(Sample("t", 2))
            assert await subscriber.recv() == Sample("t", 2)
            (error,) = subscriber.recent_errors()
            assert isinstance(error, FrameTooLargeError)


async def test_batches_stay_within_the_limit_of_a_message(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(
        backend, ipc("a"), {"max_message_bytes": 2000}, max_message_bytes=2000
    ) as (publisher, subscriber):
        messages = [Sample("t", n, bytes(300)) for n in range(40)]
        publish(publisher, messages)
        assert await take(subscriber, 40) == messages
        assert subscriber.recent_errors() == []


async def test_subscriber_that_never_reads_hurts_only_itself(
    backend: ModuleType, ipc: Ipc
) -> None:
    options = {"hwm_messages": 10, "max_batch": 1, "replay_messages": 0}
    async with publishing(backend, ipc("a"), **options) as (ctx, publisher):
        gaps: list[tuple[bytes, int, int]] = []
        async with (
            follow(
                ctx,
                publisher,
                hwm_messages=10,
                on_gap=lambda *gap: gaps.append(gap),
                quiet_interval=0.05,
            ) as idle,
            follow(ctx, publisher) as busy,
        ):
            await idle.wait_ready(PATIENCE)
            await busy.wait_ready(PATIENCE)
            filling = bytes(50_000)
            for number in range(300):
                publisher.publish(Sample("t", number, filling))
                assert (await busy.recv()).number == number
            assert publisher.statistics().num_dropped > 0
            numbers = []
            while sum(count for _, _, count in gaps) + len(numbers) < 300:
                message = idle.recv_nowait()
                if message is None:
                    await asyncio.sleep(0.001)
                else:
                    numbers.append(message.number)
            missing = [
                n for _, first, count in gaps for n in range(first, first + count)
            ]
            assert sorted(numbers + missing) == list(range(300))
            assert numbers == sorted(numbers)
            assert busy.statistics().num_gaps == 0
            assert idle.statistics().num_missing == len(missing)


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


async def test_topic_too_many_is_refused(backend: ModuleType, ipc: Ipc) -> None:
    async with publishing(backend, ipc("a"), max_topics=2) as (_, publisher):
        for topic in ("a", "b"):
            publisher.publish(Sample(topic, 0))
        with pytest.raises(FullError, match="2 topics"):
            publisher.publish(Sample("c", 0))
        publisher.publish(Sample("a", 1))


async def test_prefix_too_many_is_refused(backend: ModuleType, ipc: Ipc) -> None:
    topics = [f"t{n}" for n in range(1024)]
    async with backend.Context() as ctx:
        subscriber = MessageSubscriber(CODEC, ipc("a"), ctx, topics=topics)
        with pytest.raises(ConfigError, match="1024"):
            subscriber.subscribe("more")
        await subscriber.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch": 0},
        {"max_batch": 65537},
        {"max_delay": -1.0},
        {"max_delay": float("nan")},
        {"replay_messages": -1},
        {"replay_bytes": -1},
        {"max_topics": 0},
        {"on_full": "wait"},
        {"hwm_messages": 0},
    ],
)
async def test_publisher_refuses_what_is_out_of_range(
    backend: ModuleType, ipc: Ipc, options: dict[str, Any]
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError):
            MessagePublisher(CODEC, ipc("a"), ctx, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"replay": -1},
        {"replay_timeout": -1.0},
        {"quiet_interval": -1.0},
        {"max_topics": 0},
        {"hwm_messages": 0},
        {"hwm_bytes": 0},
        {"topics": [b"\xff"]},
        {"topics": ["x" * 256]},
    ],
)
async def test_subscriber_refuses_what_is_out_of_range(
    backend: ModuleType, ipc: Ipc, options: dict[str, Any]
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError):
            MessageSubscriber(CODEC, ipc("a"), ctx, **options)


async def test_endpoint_in_use_leaves_nothing_open(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        with pytest.raises(AddressInUseError):
            MessagePublisher(
                CODEC, ipc("b"), ctx, replay_address=publisher.replay_address
            )
        async with MessagePublisher(CODEC, ipc("b"), ctx):
            pass


async def test_replay_address_follows_from_the_first(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        subscriber = MessageSubscriber(CODEC, "tcp://127.0.0.1:5555", ctx)
        assert subscriber.replay_address == "tcp://127.0.0.1:5556"
        await subscriber.aclose()
        with pytest.raises(ConfigError, match="give one"):
            MessageSubscriber(CODEC, "tcp://127.0.0.1:65535", ctx)
