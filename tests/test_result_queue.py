"""Results that wait: taken by any thread and loop, none lost, one end for all."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.processes.conditions import until

from busduct import _result_queue
from busduct._result_queue import ResultQueue
from busduct._waking import Waker
from busduct.errors import WaitTimeoutError
from busduct.messages import QueryResult


def nothing() -> None:
    pass


def open_queue(on_flow: Callable[[], None] = nothing) -> ResultQueue:
    return ResultQueue(Waker(), on_flow)


def numbered(number: int) -> QueryResult:
    return QueryResult(id=str(number))


async def settle() -> None:
    """Let every task get to where it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_results_come_in_order() -> None:
    queue = open_queue()
    for number in range(5):
        queue.put(numbered(number))
    first, second = queue.poll(), await queue.recv()
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == ["0", "1"]
    assert [item.id for item in queue.drain(2)] == ["2", "3"]
    assert [item.id for item in queue.drain(None)] == ["4"]
    assert queue.poll() is None
    assert queue.drain(0) == []


async def test_each_result_wakes_one_of_those_that_wait() -> None:
    queue = open_queue()
    tasks = [asyncio.create_task(queue.recv()) for _ in range(3)]
    await settle()
    queue.put(numbered(0))
    await settle()
    assert [task.done() for task in tasks] == [True, False, False]
    queue.put(numbered(1))
    queue.put(numbered(2))
    items = await asyncio.gather(*tasks)
    assert [item.id for item in items if item] == ["0", "1", "2"]


@pytest.mark.parametrize("num_at_once", [1, 2, 3, 5])
async def test_tasks_that_come_again_and_again_take_turns(num_at_once: int) -> None:
    queue = open_queue()
    taken: list[int] = []

    async def take(number: int) -> None:
        while await queue.recv() is not None:
            taken.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(3)]
    await settle()
    for _ in range(6):
        for number in range(num_at_once):
            queue.put(numbered(number))
        await settle()
    queue.close()
    await asyncio.gather(*tasks)
    assert taken == [number % 3 for number in range(6 * num_at_once)]


async def test_one_whose_result_was_polled_away_is_the_next() -> None:
    queue = open_queue()
    first, second = (asyncio.create_task(queue.recv()) for _ in range(2))
    await settle()
    queue.put(numbered(0))
    assert queue.poll() is not None
    await settle()
    queue.put(numbered(1))
    queue.put(numbered(2))
    items = await asyncio.gather(first, second)
    assert [item.id for item in items if item] == ["1", "2"]


async def test_threads_that_come_again_and_again_take_turns() -> None:
    queue = open_queue()
    taken = {0: 0, 1: 0}

    def take(number: int) -> None:
        while queue.recv_blocking(None) is not None:
            taken[number] += 1

    with ThreadPoolExecutor(2) as threads:
        for number in taken:
            threads.submit(take, number)
        for number in range(200):
            await until(lambda: len(queue._line) == 2)
            queue.put(numbered(number))
        await until(lambda: len(queue._line) == 2)
        queue.close()
    assert taken == {0: 100, 1: 100}


async def test_a_loop_that_was_closed_keeps_no_result() -> None:
    queue = open_queue()

    async def begin() -> object:
        waiting = asyncio.get_running_loop().create_task(queue.recv())
        await settle()
        return waiting

    def begin_and_stop() -> object:
        loop = asyncio.new_event_loop()
        waiting = loop.run_until_complete(begin())
        loop.close()
        return waiting

    waiting = await asyncio.to_thread(begin_and_stop)
    queue.put(numbered(0))
    async with asyncio.timeout(20):
        item = await queue.recv()
    assert item is not None
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_a_wake_up_of_one_that_was_cancelled_goes_to_the_next() -> None:
    queue = open_queue()
    first, second = (asyncio.create_task(queue.recv()) for _ in range(2))
    await settle()
    queue.put(numbered(0))
    first.cancel()
    item = await second
    assert item is not None
    assert item.id == "0"


async def test_the_end_gives_what_is_left_then_none() -> None:
    queue = open_queue()
    waiting = asyncio.create_task(queue.recv())
    await settle()
    queue.close()
    assert await waiting is None
    queue.put(numbered(0))
    queue.close()
    item = await queue.recv()
    assert item is not None
    assert await queue.recv() is None
    assert queue.recv_blocking(None) is None


async def test_another_loop_is_woken() -> None:
    queue = open_queue()
    begun = threading.Event()
    taken: list[object] = []

    async def take() -> None:
        begun.set()
        for _ in range(100):
            item = await queue.recv()
            assert item is not None
            taken.append(item.id)

    thread = threading.Thread(target=lambda: asyncio.run(take()))
    thread.start()
    assert begun.wait(50)
    for number in range(100):
        queue.put(numbered(number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    await asyncio.to_thread(thread.join)
    assert taken == [str(number) for number in range(100)]


async def test_a_thread_without_a_loop_is_woken() -> None:
    queue = open_queue()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(queue.recv_blocking, None)
        await until(lambda: bool(queue._line))
        queue.put(numbered(7))
        item = waiting.result(50)
    assert item is not None
    assert item.id == "7"


async def test_a_thread_does_not_wait_beyond_its_deadline() -> None:
    queue = open_queue()
    begun = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        queue.recv_blocking(0.05)
    assert time.monotonic() - begun >= 0.05
    assert not queue._line


async def test_many_takers_in_many_threads_take_each_result_once() -> None:
    queue = open_queue()
    total = 4000

    def take() -> list[str]:
        taken = []
        while (item := queue.recv_blocking(None)) is not None:
            taken.append(item.id)
        return taken

    with ThreadPoolExecutor(4) as threads:
        takers = [threads.submit(take) for _ in range(4)]
        for number in range(total):
            queue.put(numbered(number))
        queue.close()
        taken = [number for taker in takers for number in taker.result(30)]
    assert sorted(taken, key=int) == [str(number) for number in range(total)]


async def test_a_full_queue_says_so_and_that_it_has_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_result_queue, "HIGH", 10)
    monkeypatch.setattr(_result_queue, "LOW", 5)
    told: list[bool] = []
    queue = open_queue(lambda: told.append(queue.is_flowing))
    for number in range(12):
        queue.put(numbered(number))
    assert told == [False]
    queue.drain(6)
    assert told == [False]
    queue.poll()
    assert told == [False, True]
    assert len(queue) == 5
