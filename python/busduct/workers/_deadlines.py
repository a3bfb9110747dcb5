"""The deadlines of all queries, on one timer."""

import asyncio
import math
from collections.abc import Callable

from busduct.workers._ledger import Entry, Ledger

__all__ = ["Deadlines"]

# Of the time, this share at most goes into looking for what is due.
MAX_SHARE = 0.05


class Deadlines:
    """Call back with the entries whose deadline has come.

    Few queries live to see their deadline: one that ends before costs nothing here. In
    return each look for what is due goes through the whole ledger. It is taken when the
    earliest deadline known comes, and so seldom that it takes 5 % of the time: with
    100,000 queries under way, some of which expire all the time, they do so up to 0.2 s
    late.

    Args:
        loop: Whose clock and timer are used.
        ledger: Has the entries.
        on_due: Called with those that are due, earliest first.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        on_due: Callable[[list[Entry]], None],
    ) -> None:
        self._loop = loop
        self._clock = loop.time
        self._ledger = ledger
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        # Until then nothing is looked for.
        self._next_look = math.inf
        self._not_before = 0.0

    def set(self, entry: Entry, timeout: float) -> None:
        """Have an entry end within so many seconds."""
        entry.deadline = deadline = self._clock() + timeout
        if deadline < self._next_look:
            self._look_at(deadline)

    def close(self) -> None:
        """Call back no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when: float) -> None:
        when = max(when, self._not_before)
        if when < self._next_look:
            self.close()
            self._next_look = when
            self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        started_at = self._clock()
        # NB: a timer may come early by the resolution of the loop's clock.
        due, earliest = self._ledger.due(max(started_at, self._next_look))
        self._next_look = math.inf
        now = self._clock()
        self._not_before = now + (now - started_at) / MAX_SHARE
        if earliest is not None:
            self._look_at(earliest)
        if due:
            self._on_due(due)
