"""Waking those who wait in a loop, from any thread."""

import asyncio
import threading
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["Waker"]


class _Calls:
    """Futures of one foreign loop that are to be set, with one wake-up for a burst."""

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[None]] = deque()
        self._is_awake = False

    def add(
        self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]
    ) -> bool:
        """Have a future set; False if its loop is closed, so that nobody waits."""
        if loop.is_closed():
            return False
        self._futures.append(future)
        if not self._is_awake:
            self._is_awake = True
            try:
                loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                return False
        return True

    def _run(self) -> None:
        # NB: before the queue is looked at. Who adds looks at the flag afterwards, so
        # that a future is either seen here or wakes us once more.
        self._is_awake = False
        while self._futures:
            _set(self._futures.popleft())


class Waker:
    """Sets futures, each in the loop that it belongs to."""

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[asyncio.AbstractEventLoop, _Calls] = (
            WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def wake(self, future: asyncio.Future[None]) -> bool:
        """Have `future` set, if nobody did so or cancelled it.

        Returns:
            False if its loop is closed, so that nobody waits for it.
        """
        loop = future.get_loop()
        if loop is asyncio._get_running_loop():
            _set(future)
            return True
        with self._lock:
            calls = self._calls.get(loop)
            if calls is None:
                calls = self._calls[loop] = _Calls()
        return calls.add(loop, future)


def _set(future: asyncio.Future[None]) -> None:
    """Set it unless it is done, which it is where its waiter was cancelled."""
    if not future.done():
        future.set_result(None)
