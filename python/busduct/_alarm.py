"""A timer that is right to a small part of a millisecond."""

import asyncio
import time
from collections.abc import Callable

from busduct._fallback._timer_descriptor import TimerDescriptor

__all__ = ["Alarm"]


class Alarm:
    """Calls back at a time of the monotonic clock.

    The timers of event loops are right to a millisecond, which is more than a fast
    service takes to answer. Where the system has no better ones, they must do.

    Args:
        callback: Called in the running loop's thread; at most once per `set`.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._timer = TimerDescriptor()
        self._handle: asyncio.TimerHandle | None = None
        if self._timer.fd >= 0:
            self._loop.add_reader(self._timer.fd, self._on_timer)

    def set(self, when_ns: int) -> None:
        """Call back at `when_ns`, and at no time that was set before."""
        if self._timer.fd >= 0:
            self._timer.set(when_ns / 1e9)
            return
        self._cancel_handle()
        delay = (when_ns - time.monotonic_ns()) / 1e9
        self._handle = self._loop.call_later(max(delay, 0.0), self._callback)

    def close(self) -> None:
        """Call back no more. Idempotent."""
        self._cancel_handle()
        if self._timer.fd >= 0:
            self._loop.remove_reader(self._timer.fd)
            self._timer.close()

    def _on_timer(self) -> None:
        # The descriptor stays readable until it is set anew.
        self._timer.set(0.0)
        self._callback()

    def _cancel_handle(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
