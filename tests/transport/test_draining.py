"""A publisher that waits, before it is closed, until its subscribers have all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from tests.transport.typed_messages import (
    Sample,
    follow,
    publish,
    publishing,
    ready_pair,
    samples,
    take,
)
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError
from busduct.transport import MessagePublisher, _synchronizer
from busduct.transport._records import PRESENCE_TOPIC

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


@asynccontextmanager
async def mute_subscriber(
    backend: ModuleType, publisher: MessagePublisher[Sample]
) -> AsyncIterator[Any]:
    """Subscribe as others do, with a socket that asks for nothing."""
    async with backend.Context() as ctx:
        mute = ctx.socket(backend.SUB)
        mute.subscribe(PRESENCE_TOPIC)
        mute.connect(publisher.bind_address)
        await publisher.wait_subscribers(1)
        yield mute


async def test_nobody_is_waited_for(
    backend: ModuleType, publisher_address: str
) -> None:
    async with publishing(backend, publisher_address) as (_, publisher):
        publisher.publish(Sample("t", 0))
        assert await publisher.drain()
        publisher.close()
        with pytest.raises(ClosedError):
            await publisher.drain()


async def test_subscriber_that_is_in_step_is_not_waited_for(
    backend: ModuleType, publisher_address: str
) -> None:
    async with ready_pair(backend, publisher_address) as (publisher, subscriber):
        publish(publisher, samples(0, 10))
        assert await publisher.drain(0.0)
        await publisher.aclose()
        assert await take(subscriber, 10) == samples(0, 10)


async def test_subscriber_that_has_just_come_gets_what_is_held(
    backend: ModuleType, publisher_address: str
) -> None:
    async with publishing(backend, publisher_address) as (ctx, publisher):
        publish(publisher, samples(0, 500))
        async with follow(ctx, publisher, replay=500) as subscriber:
            await publisher.wait_subscribers(1)
            assert await publisher.drain()
            await publisher.aclose()
            assert await take(subscriber, 500) == samples(0, 500)


async def test_subscriber_of_which_something_was_dropped_gets_that(
    backend: ModuleType, publisher_address: str
) -> None:
    options = {"hwm_messages": 2, "hwm_bytes": 1 << 20, "max_batch": 1}
    async with ready_pair(
        backend, publisher_address, options, quiet_interval=0.01
    ) as pair:
        publisher, subscriber = pair
        large = [Sample("t", number, bytes(1 << 20)) for number in range(12)]
        publish(publisher, large)
        assert publisher.statistics().num_dropped
        assert not await publisher.drain(0.0)
        taking = asyncio.create_task(take(subscriber, 12))
        assert await publisher.drain()
        await publisher.aclose()
        assert await taking == large


async def test_subscriber_that_dies_is_waited_for_no_more(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with (
        publishing(backend, ipc("a")) as (_, publisher),
        mute_subscriber(backend, publisher) as mute,
    ):
        assert not await publisher.drain(0.01)
        draining = asyncio.create_task(publisher.drain())
        await settle()
        assert not draining.done()
        mute.close()
        assert await draining


async def test_publisher_whose_tasks_were_cancelled_answers_again(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        publish(publisher, samples(0, 5))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()
        async with follow(ctx, publisher, replay=5) as subscriber:
            await publisher.wait_subscribers(1)
            assert await publisher.drain()
            assert await take(subscriber, 5) == samples(0, 5)


async def test_answer_that_was_cancelled_is_begun_again(
    backend: ModuleType, ipc: Ipc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_synchronizer, "ANSWER_SECONDS", 60.0)
    # More than goes through at once.
    messages = [Sample("t", number, bytes(1 << 20)) for number in range(64)]
    options = {"replay_bytes": 1 << 30, "hwm_bytes": 1 << 20}
    async with publishing(backend, ipc("a"), **options) as (ctx, publisher):
        publish(publisher, messages)
        async with follow(ctx, publisher, replay=64) as subscriber:
            await eventually(lambda: publisher.statistics().num_replayed)
            before = publisher.statistics().num_replayed
            assert before < 64
            for task in asyncio.all_tasks():
                if task.get_name().startswith("busduct-replay"):
                    task.cancel()
            await settle()
            taking = asyncio.create_task(take(subscriber, 64))
            # Sooner than it would ask again of itself.
            assert await publisher.drain(30.0)
            assert await taking == messages


async def test_cancelled_drain_can_be_begun_again(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with (
        publishing(backend, ipc("a")) as (_, publisher),
        mute_subscriber(backend, publisher) as mute,
    ):
        draining = asyncio.create_task(publisher.drain())
        await settle()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        draining = asyncio.create_task(publisher.drain())
        await settle()
        mute.close()
        await eventually(draining.done)
