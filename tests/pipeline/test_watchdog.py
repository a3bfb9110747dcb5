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
        self.watchdog = Watchdog(
            INTERVAL,
            self._ask,
            lambda: self.busy,
            lambda name, generation: self.stalled.append((name, generation)),
        )
        self._answering = answering

    def _ask(self, number: int) -> dict[str, int]:
        self.num_asked += 1
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
    await until(lambda: watched.num_asked == 4)
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
    await until(lambda: watched.num_asked == 1)
    watched.watchdog.close()


async def test_loop_that_was_held_up_blames_nobody() -> None:
    watched = Watched()
    watched.watchdog.wake()
    await until(lambda: watched.num_asked == 1)
    # What holds the loop up is the test's subject.
    time.sleep(1.5 * INTERVAL)  # noqa: ASYNC251
    await until(lambda: watched.num_asked == 2)
    assert watched.stalled == []
    watched.watchdog.close()
