"""Typed publish/subscribe at its limits, amid garbage, and beside a slow reader."""

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
    take,
)
from tests.transport.waiting import eventually

from busduct.codec import MessageCodec
from busduct.errors import (
    AddressInUseError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.transport import MessagePublisher, MessageSubscriber
from busduct.transport._records import Batch, encode_batch

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


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
