"""Waking those who wait for the client, in whichever loop they do."""

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
    ) -> None:
        self._futures.append(future)
        if self._is_awake:
            return
        self._is_awake = True
        try:
            loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            # That loop is closed: nobody waits there.
            self._futures.clear()

    def _run(self) -> None:
        # NB: before the queue is looked at, as in `Outbox`.
        self._is_awake = False
        while self._futures:
            set_future(self._futures.popleft())


class Waker:
    """Sets futures of any loop from the thread of the client's loop.

    Args:
        thread_id: Of the thread that the client's loop runs in.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        self._loop = loop
        self._thread_id = thread_id
        self._calls: WeakKeyDictionary[asyncio.AbstractEventLoop, _Calls] = (
            WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def wake(self, future: asyncio.Future[None]) -> None:
        """Have `future` set, if nobody did so or cancelled it."""
        loop = future.get_loop()
        if loop is self._loop and threading.get_ident() == self._thread_id:
            set_future(future)
            return
        with self._lock:
            calls = self._calls.get(loop)
            if calls is None:
                calls = self._calls[loop] = _Calls()
        calls.add(loop, future)


def set_future(future: asyncio.Future[None]) -> None:
    """Set it unless it is done, which it is where its waiter was cancelled."""
    if not future.done():
        future.set_result(None)
