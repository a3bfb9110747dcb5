"""Waits that end at a time, to a small part of a millisecond."""

import asyncio
import time

from busduct._alarm import Alarm

__all__ = ["Pause"]


class Pause:
    """Waits until a time of the monotonic clock, for one task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._wake)
        self._woken: asyncio.Future[None] | None = None

    async def until(self, when_ns: int) -> None:
        """Wait; what is due already gives way to others all the same."""
        if when_ns <= time.monotonic_ns():
            await asyncio.sleep(0)
            return
        self._woken = self._loop.create_future()
        self._alarm.set(when_ns)
        await self._woken

    def close(self) -> None:
        """Wake nobody any more."""
        self._alarm.close()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
