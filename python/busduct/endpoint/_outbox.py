"""What other threads hand to a loop: in order, with one wake-up for a burst."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Outbox"]

# Handed over before the loop looks after its other work.
BURST = 512

T = TypeVar("T")


class Outbox(Generic[T]):
    """A queue into a loop, posted to from any thread, the loop's own too.

    Args:
        loop: Where `deliver` runs.
        thread_id: Of the thread that the loop runs in.
        deliver: Called with each item, in the order posted; must not raise.
        reject: Called instead once it is closed, in whatever thread notices.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread_id: int,
        deliver: Callable[[T], None],
        reject: Callable[[T], None],
    ) -> None:
        self._loop = loop
        self._thread_id = thread_id
        self._deliver = deliver
        self._reject = reject
        self._items: deque[T] = deque()
        self._is_awake = False
        self._is_closed = False

    def post(self, item: T) -> None:
        """Hand over `item`; at once when called from the loop's thread."""
        if threading.get_ident() == self._thread_id and not self._is_closed:
            if self._items:
                self._run()
            if not self._items:
                self._deliver(item)
                return
        self.post_later(item)

    def post_later(self, item: T) -> None:
        """Hand over `item` in a later turn of the loop.

        For finalizers, which run amid whatever else this thread does.
        """
        self._items.append(item)
        if self._is_closed:
            self._drop()
        elif not self._is_awake:
            self._wake()

    def close(self) -> None:
        """Reject what is still queued, and all that comes. Idempotent."""
        self._is_closed = True
        self._drop()

    def _wake(self) -> None:
        self._is_awake = True
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            # The loop is closed, which its owner did not tell us.
            self.close()

    def _run(self) -> None:
        # NB: before the queue is looked at. Who posts looks at the flag after adding to
        # the queue, so that an item is either seen here or wakes us once more.
        self._is_awake = False
        for _ in range(BURST):
            if not self._items:
                return
            self._deliver(self._items.popleft())
        if self._items and not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._run)

    def _drop(self) -> None:
        # Two threads may be here, each for an item of its own.
        while True:
            try:
                item = self._items.popleft()
            except IndexError:
                return
            self._reject(item)
