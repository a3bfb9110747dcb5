"""A task that goes on when others cancel it, and ends when its owner does."""

import asyncio
from typing import Any

import pytest

from busduct.fmq._enduring_task import MAX_RESTARTS, EnduringTask


class Runs:
    """Counts how often its coroutine was begun."""

    def __init__(self) -> None:
        self.count = 0

    async def wait(self) -> None:
        self.count += 1
        await asyncio.get_running_loop().create_future()


async def cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


async def test_it_begins_again_when_others_cancel_it(any_loop: str) -> None:
    runs = Runs()
    task = EnduringTask("test", runs.wait)
    await asyncio.sleep(0)
    await cancel_others()
    assert (runs.count, task.done) == (2, False)
    task.cancel()
    await task.wait_ended()
    assert (runs.count, task.done) == (2, True)


async def test_it_runs_while_the_generators_of_an_ending_loop_do() -> None:
    runs = Runs()
    task = EnduringTask("test", runs.wait)
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    # As `asyncio.run` does: what waits for the cancelled ones begins before it.
    await asyncio.wait(others)
    await asyncio.sleep(0)
    assert not task.done
    task.cancel()
    await task.wait_ended()


async def test_it_gives_way_to_who_cancels_until_nothing_is_left() -> None:
    runs = Runs()
    task = EnduringTask("test", runs.wait)
    for _ in range(MAX_RESTARTS + 1):
        await cancel_others()
    assert task.done
    assert runs.count <= MAX_RESTARTS + 1


async def test_what_it_raises_is_told_to_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))

    async def fail() -> None:
        raise ValueError("oh")

    task = EnduringTask("broken", fail)
    await task.wait_ended()
    await asyncio.sleep(0)
    (what,) = told
    assert what["message"] == "broken ended"
    with pytest.raises(ValueError, match="oh"):
        raise what["exception"]
