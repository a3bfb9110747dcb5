"""What is handed to a loop from other threads: order, one wake-up, and its end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.processes.conditions import until

from busduct.endpoint import _outbox
from busduct.endpoint._outbox import Outbox


class CountingLoop:
    """Counts the wake-ups of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.num_wake_ups = 0
        self.num_turns = 0

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        self.num_wake_ups += 1
        self._loop.call_soon_threadsafe(call)

    def call_soon(self, call: Callable[[], None]) -> None:
        self.num_turns += 1
        self._loop.call_soon(call)


def open_outbox(
    deliver: Callable[[int], None], reject: Callable[[int], None]
) -> tuple[Outbox[int], CountingLoop]:
    loop: Any = CountingLoop(asyncio.get_running_loop())
    return Outbox(loop, threading.get_ident(), deliver, reject), loop


def refuse(item: int) -> None:
    raise AssertionError(item)


async def test_a_burst_from_another_thread_wakes_the_loop_once() -> None:
    taken: list[int] = []
    outbox, loop = open_outbox(taken.append, refuse)

    def burst() -> None:
        for item in range(100):
            outbox.post(item)

    # NB: joined here, so that the loop cannot run in between.
    thread = threading.Thread(target=burst)
    thread.start()
    thread.join()
    await until(lambda: len(taken) == 100)
    assert taken == list(range(100))
    assert loop.num_wake_ups == 1
    thread = threading.Thread(target=burst)
    thread.start()
    thread.join()
    await until(lambda: len(taken) == 200)
    assert loop.num_wake_ups == 2


async def test_a_long_burst_lets_the_loop_do_other_work() -> None:
    taken: list[int] = []
    outbox, loop = open_outbox(taken.append, refuse)
    total = 3 * _outbox.BURST

    def burst() -> None:
        for item in range(total):
            outbox.post(item)

    thread = threading.Thread(target=burst)
    thread.start()
    thread.join()
    await until(lambda: len(taken) == total)
    assert taken == list(range(total))
    assert (loop.num_wake_ups, loop.num_turns) == (1, 2)


async def test_what_many_threads_post_arrives_in_the_order_of_each() -> None:
    taken: list[int] = []
    outbox, _ = open_outbox(taken.append, refuse)

    def post(thread_number: int) -> None:
        for item in range(2000):
            outbox.post(thread_number * 10000 + item)

    with ThreadPoolExecutor(4) as threads:
        for thread_number in range(4):
            threads.submit(post, thread_number)
        await until(lambda: len(taken) == 8000)
    for thread_number in range(4):
        mine = [item % 10000 for item in taken if item // 10000 == thread_number]
        assert mine == list(range(2000))


async def test_the_loops_own_thread_delivers_at_once_and_not_out_of_turn() -> None:
    taken: list[int] = []
    outbox, loop = open_outbox(taken.append, refuse)
    outbox.post(0)
    assert (taken, loop.num_wake_ups) == ([0], 0)
    thread = threading.Thread(target=outbox.post, args=(1,))
    thread.start()
    thread.join()
    outbox.post(2)
    assert taken == [0, 1, 2]


async def test_what_is_queued_at_the_end_and_posted_after_it_is_rejected() -> None:
    rejected: list[int] = []
    outbox, _ = open_outbox(refuse, rejected.append)
    thread = threading.Thread(target=outbox.post, args=(1,))
    thread.start()
    thread.join()
    outbox.close()
    assert rejected == [1]
    outbox.post(2)
    thread = threading.Thread(target=outbox.post, args=(3,))
    thread.start()
    thread.join()
    outbox.close()
    await asyncio.sleep(0)
    assert rejected == [1, 2, 3]


def test_a_loop_that_was_closed_rejects() -> None:
    rejected: list[int] = []
    loop = asyncio.new_event_loop()
    outbox = Outbox[int](loop, 0, refuse, rejected.append)
    loop.close()
    outbox.post(1)
    outbox.post(2)
    assert rejected == [1, 2]
