"""The messages of the tests of typed publish/subscribe, and a pair that is ready."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import msgspec

from busduct.codec import MessageCodec
from busduct.transport import MessagePublisher, MessageSubscriber

PATIENCE = 20.0


class Sample(msgspec.Struct, frozen=True):
    topic: str
    number: int
    filling: bytes = b""


CODEC = MessageCodec(Sample, topic=lambda sample: sample.topic)


def samples(start: int, stop: int, topic: str = "t") -> list[Sample]:
    return [Sample(topic, number) for number in range(start, stop)]


def publish(publisher: MessagePublisher[Sample], messages: list[Sample]) -> None:
    for message in messages:
        publisher.publish(message)


async def take(subscriber: MessageSubscriber[Sample], count: int) -> list[Sample]:
    return [await subscriber.recv() for _ in range(count)]


@asynccontextmanager
async def publishing(
    backend: ModuleType, address: str, **options: Any
) -> AsyncIterator[tuple[Any, MessagePublisher[Sample]]]:
    """Give a context and a publisher in it."""
    async with (
        backend.Context() as ctx,
        MessagePublisher(CODEC, address, ctx, **options) as publisher,
    ):
        yield ctx, publisher


def follow(
    ctx: Any, publisher: MessagePublisher[Sample], **options: Any
) -> MessageSubscriber[Sample]:
    """Open a subscriber of a publisher."""
    return MessageSubscriber(
        CODEC,
        publisher.bind_address,
        ctx,
        replay_address=publisher.replay_address,
        **options,
    )


@asynccontextmanager
async def ready_pair(
    backend: ModuleType,
    address: str,
    publisher_options: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[MessagePublisher[Sample], MessageSubscriber[Sample]]]:
    """Give a publisher and a subscriber that has become ready."""
    async with publishing(backend, address, **(publisher_options or {})) as found:
        ctx, publisher = found
        async with follow(ctx, publisher, **options) as subscriber:
            await subscriber.wait_ready(PATIENCE)
            yield publisher, subscriber
