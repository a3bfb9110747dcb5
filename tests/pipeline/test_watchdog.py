"""Signs of life."""

import asyncio
import time

from tests.pipeline.conditions import until

from busduct.pipeline._watchdog import Watchdog

INTERVAL = 0.1


class Watched:
    """Two processes, of which some answer."""

    def __init__(self, *answering: str) -> None:
        self.busy = True
        self.num_asked = 0
        self.stalled: list[tuple[str, int]] = []
        # As it was when each question was asked.
        self.num_stalled: list[int] = []
        self.hold_up = 0.0
        self.watchdog = Watchdog(
            INTERVAL,
            self._ask,
            lambda: self.busy,
            lambda name, generation: self.stalled.append((name, generation)),
        )
        self._answering = answering

    def _ask(self, number: int) -> dict[str, int]:
        self.num_asked += 1
        self.num_stalled.append(len(self.stalled))
        if self.hold_up:
            asyncio.get_running_loop().call_soon(time.sleep, self.hold_up)
            self.hold_up = 0.0
        for name in self._answering:
            asyncio.get_running_loop().call_soon(
                self.watchdog.note_answer, name, number
            )
        return {"one": 7, "two": 8}


async def test_process_that_does_not_answer_is_told() -> None:
    watched = Watched("one")
    watched.watchdog.wake()
    await until(lambda: bool(watched.stalled))
    assert set(watched.stalled) == {("two", 8)}
    watched.watchdog.close()


async def test_processes_that_answer_are_left_alone() -> None:
    watched = Watched("one", "two")
    watched.watchdog.wake()
    watched.watchdog.wake()
    await until(lambda: watched.num_asked >= 4)
    assert watched.stalled == []
    watched.watchdog.close()


async def test_nobody_is_asked_while_nobody_waits() -> None:
    watched = Watched()
    watched.busy = False
    watched.watchdog.wake()
    await until(lambda: watched.watchdog._timer is None)
    assert watched.num_asked == 0
    watched.busy = True
    watched.watchdog.wake()
    await until(lambda: watched.num_asked >= 1)
    watched.watchdog.close()


async def test_loop_that_was_held_up_blames_nobody() -> None:
    watched = Watched()
    # From the first question on, until after the second is due.
    watched.hold_up = 1.5 * INTERVAL
    watched.watchdog.wake()
    await until(lambda: watched.num_asked >= 2)
    assert watched.num_stalled[:2] == [0, 0]
    watched.watchdog.close()
