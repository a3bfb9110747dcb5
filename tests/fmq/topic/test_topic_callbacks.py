"""`sub` and `stop_sub`: who is called, and what becomes of what it raises."""

import asyncio
import logging
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.topic.parties import PATIENCE, topics
from tests.transport.waiting import eventually, settle

from busduct.errors import AlreadySubscribedError, ClosedError, ConfigError
from busduct.fmq._topic import _local

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_coroutine_functions_and_others_are_called(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address, 3) as (topic, plain, asynchronous):
        seen: list[Any] = []
        also_seen: list[Any] = []

        async def note(message: Any) -> None:
            await asyncio.sleep(0)
            also_seen.append(message.payload)

        plain.sub(lambda message: seen.append(message.payload))
        asynchronous.sub(note)
        for number in range(300):
            await topic.pub(number)
        await eventually(lambda: len(seen) == len(also_seen) == 300)
        assert seen == also_seen == list(range(300))


async def test_call_ends_before_the_next_begins(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):
        entered: list[Any] = []
        go_on = asyncio.Event()

        async def wait(message: Any) -> None:
            entered.append(message.payload)
            await go_on.wait()

        await other.sub(wait)
        for number in range(3):
            await topic.pub(number)
        await eventually(lambda: entered)
        await settle()
        assert entered == [0]
        go_on.set()
        await eventually(lambda: entered == [0, 1, 2])


async def test_callback_that_raises_is_called_again(
    backend: ModuleType, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with topics(backend, address) as (topic, other):
        seen: list[Any] = []

        async def fail(message: Any) -> None:
            seen.append(message.payload)
            if message.payload == 0:
                msg = "not zero"
                raise ValueError(msg)
            if message.payload == 1:
                raise asyncio.CancelledError

        with caplog.at_level(logging.ERROR, "busduct.fmq"):
            await other.sub(fail)
            for number in range(3):
                await topic.pub(number)
            await eventually(lambda: len(seen) == 3)
        (statistics,) = other.statistics().subscriptions
        assert statistics.num_callback_errors == 2
        assert [str(error) for error in other.recent_errors()] == ["not zero"]
        assert "a callback of topic load raised" in caplog.text
        assert "ValueError: not zero" in caplog.text


async def test_second_sub_is_refused_while_the_first_runs(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):
        seen: list[Any] = []
        other.sub(lambda message: seen.append(1))
        with pytest.raises(RuntimeError, match=r"'load' .* stop_sub") as caught:
            other.sub(print)
        assert isinstance(caught.value, AlreadySubscribedError)
        await other.stop_sub()
        await other.sub(lambda message: seen.append(2))
        await topic.pub(None)
        await eventually(lambda: seen)
        assert seen == [2]


async def test_stopped_sub_is_called_no_more(backend: ModuleType, address: str) -> None:
    async with topics(backend, address) as (topic, other):
        seen: list[Any] = []
        go_on = asyncio.Event()

        async def note(message: Any) -> None:
            seen.append(message.payload)
            await go_on.wait()
            seen.append("over")

        watching = other.messages()
        await other.sub(note)
        await watching.wait_ready()
        await topic.pub(0)
        await topic.pub(1)
        await eventually(lambda: seen)
        stopped = asyncio.ensure_future(other.stop_sub())
        await settle()
        assert not stopped.done()
        go_on.set()
        await stopped
        await topic.pub(2)
        while (await watching.recv()).payload != 2:
            pass
        await settle()
        assert seen == [0, "over"]
        await other.stop_sub()
        other.stop_sub()


async def test_callback_may_stop_its_own_subscription(
    backend: ModuleType, address: str
) -> None:
    async with topics(backend, address) as (topic, other):
        seen: list[Any] = []

        async def note(message: Any) -> None:
            seen.append(message.payload)
            await other.stop_sub()
            seen.append("stopped")

        await other.sub(note)
        await topic.pub(0)
        await topic.pub(1)
        await eventually(lambda: len(seen) == 2)
        await settle()
        assert seen == [0, "stopped"]


async def test_sub_refuses_what_cannot_be(backend: ModuleType, address: str) -> None:
    async with topics(backend, address, 1) as (topic,):
        with pytest.raises(ConfigError, match="replay"):
            topic.sub(print, replay=-1)
        with pytest.raises(ConfigError, match="asterisk"):
            topic.sub(print, "*.gpu")
        topic.sub(print)
        await topic.aclose()
        with pytest.raises(ClosedError):
            topic.sub(print)
        with pytest.raises(ClosedError):
            await topic.pub(0)


async def test_awaiting_sub_does_not_wait_where_nobody_publishes(
    backend: ModuleType, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as it waits where a publisher does not answer.
    monkeypatch.setattr(_local, "READY_SECONDS", 3600.0)
    async with topics(backend, address, 1) as (topic,):
        async with asyncio.timeout(PATIENCE):
            await topic.sub(print)
