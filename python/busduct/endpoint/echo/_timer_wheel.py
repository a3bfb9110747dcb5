"""Many deadlines on one timer of the event loop."""

import asyncio
import heapq
import time
from collections.abc import Callable

__all__ = ["TimerWheel"]

# What the timers of the event loops can tell apart.
TICK = 0.001


class TimerWheel:
    """Call what is due; all that is due in one tick, with one timer.

    Nothing is called early, and what is due together is called in the order it was
    given. Fifty thousand calls a second need a thousand timers then, not fifty
    thousand.

    Args:
        loop: Whose thread it is used on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._ticks: list[int] = []
        self._handle: asyncio.TimerHandle | None = None
        self._armed_tick = 0

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call `callback` at `when` of the monotonic clock, or up to a tick later."""
        tick = -int(-when // TICK)
        slot = self._slots.get(tick)
        if slot is not None:
            slot.append(callback)
            return
        self._slots[tick] = [callback]
        heapq.heappush(self._ticks, tick)
        if self._handle is None or tick < self._armed_tick:
            self._arm()

    def close(self) -> None:
        """Call nothing more."""
        self._slots.clear()
        self._ticks.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._ticks:
            self._armed_tick = self._ticks[0]
            delay = self._armed_tick * TICK - time.monotonic()
            self._handle = self._loop.call_later(max(delay, 0.0), self._turn)

    def _turn(self) -> None:
        self._handle = None
        now = time.monotonic()
        while self._ticks and self._ticks[0] * TICK <= now:
            for callback in self._slots.pop(heapq.heappop(self._ticks)):
                try:
                    callback()
                except Exception as error:
                    self._loop.call_exception_handler(
                        {"message": "a call that was due failed", "exception": error}
                    )
        self._arm()
