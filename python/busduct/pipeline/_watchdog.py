"""Notice a process that lives and does nothing, while anybody waits for it."""

import asyncio
from collections.abc import Callable, Mapping

__all__ = ["Watchdog"]

# Share of the interval by which a timer may be late and still judge.
LATE = 0.1


class Watchdog:
    """Ask the processes for a sign of life, but only while requests run.

    A process that does not answer one question before the next is due is stalled.

    Args:
        interval: Seconds between questions.
        ask: Sends question number n; returns who must answer it, by name and
            generation.
        is_busy: Whether anybody waits.
        on_stall: Called with the name and generation of each that did not answer.
    """

    def __init__(
        self,
        interval: float,
        ask: Callable[[int], Mapping[str, int]],
        is_busy: Callable[[], bool],
        on_stall: Callable[[str, int], None],
    ) -> None:
        self._interval = interval
        self._ask = ask
        self._is_busy = is_busy
        self._on_stall = on_stall
        self._number = 0
        self._awaited: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Begin to ask, if it does not already."""
        if self._timer is None:
            self._schedule()

    def note_answer(self, name: str, number: int) -> None:
        """Take an answer; one to an earlier question is ignored."""
        if number == self._number:
            self._awaited.pop(name, None)

    def close(self) -> None:
        """Ask no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval
        self._timer = loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self._timer = None
        awaited, self._awaited = self._awaited, {}
        if not self._is_busy():
            return
        # A loop that was held up itself has not read the answers yet.
        late = asyncio.get_running_loop().time() - due
        if late < LATE * self._interval:
            for name, generation in awaited.items():
                self._on_stall(name, generation)
        self._number += 1
        self._awaited = dict(self._ask(self._number))
        self._schedule()
