"""The timer wheel: nothing early, little late, in order."""

import asyncio
import random
import time
from typing import Any

from tests.endpoint.echo.asking import until

from busduct.endpoint.echo._timer_wheel import TICK, TimerWheel


async def test_nothing_is_early_and_all_is_in_order(any_loop: str) -> None:
    wheel = TimerWheel(asyncio.get_running_loop())
    source = random.Random(1)
    start = time.monotonic()
    due = [start + source.random() * 0.05 for _ in range(500)]
    called: list[tuple[float, float]] = []
    done = asyncio.Event()

    def note(when: float) -> None:
        called.append((when, time.monotonic()))
        if len(called) == len(due):
            done.set()

    for when in due:
        wheel.call_at(when, lambda when=when: note(when))
    await done.wait()
    assert all(now >= when for when, now in called)
    ticks = [-int(-when // TICK) for when, _ in called]
    assert ticks == sorted(ticks)


async def test_one_timer_of_the_loop_serves_all_of_a_tick(any_loop: str) -> None:
    loop = asyncio.get_running_loop()
    wheel = TimerWheel(loop)
    called: list[int] = []
    when = time.monotonic() + 0.01
    for number in range(100):
        wheel.call_at(when, lambda number=number: called.append(number))
    assert len(wheel._slots) == 1
    await until(lambda: len(called) == 100)
    assert called == list(range(100))


async def test_sooner_call_comes_before_what_was_armed(any_loop: str) -> None:
    wheel = TimerWheel(asyncio.get_running_loop())
    called: list[str] = []
    done = asyncio.Event()
    now = time.monotonic()
    wheel.call_at(now + 3600, lambda: called.append("late"))
    wheel.call_at(now + 0.005, done.set)
    await done.wait()
    assert called == []
    wheel.close()


async def test_call_that_fails_stops_no_other(any_loop: str) -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    wheel = TimerWheel(loop)
    done = asyncio.Event()
    when = time.monotonic() + 0.002

    def fail() -> None:
        raise ValueError("no")

    wheel.call_at(when, fail)
    wheel.call_at(when, done.set)
    await done.wait()
    assert [str(context["exception"]) for context in told] == ["no"]


async def test_closed_wheel_calls_nothing(any_loop: str) -> None:
    wheel = TimerWheel(asyncio.get_running_loop())
    called: list[int] = []
    now = time.monotonic()
    wheel.call_at(now + 0.001, lambda: called.append(1))
    wheel.close()
    other = asyncio.Event()
    TimerWheel(asyncio.get_running_loop()).call_at(now + 0.01, other.set)
    await other.wait()
    assert called == []
