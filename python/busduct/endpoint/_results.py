"""Results that wait to be taken, from any thread and any loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from busduct.endpoint._waking import Waker
from busduct.messages import QueryResult, StreamChunk

__all__ = ["ResultQueue"]

Item = QueryResult | StreamChunk

# Untaken results at which the workers' are not read any more, and at which they are
# again. What is not read is bounded by the transport.
HIGH = 65536
LOW = HIGH // 2


class ResultQueue:
    """A queue that one thread fills and any empty; after its end, None.

    Args:
        waker: Wakes who waits in a loop.
        on_flow: Called when `is_flowing` has changed, in the thread that changed it.

    Attributes:
        is_flowing: Whether there is room for more; they are accepted in any case.
    """

    def __init__(self, waker: Waker, on_flow: Callable[[], None]) -> None:
        self._waker = waker
        self._on_flow = on_flow
        self._items: deque[Item] = deque()
        self._waiters: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self.is_flowing = True

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add a result; wakes one who waits."""
        self._items.append(item)
        if self._waiters:
            self._wake_one()
        if len(self._items) >= HIGH and self.is_flowing:
            self.is_flowing = False
            self._on_flow()

    def poll(self) -> Item | None:
        """Take the oldest; None if there is none."""
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        if not self.is_flowing and len(self._items) <= LOW:
            self.is_flowing = True
            self._on_flow()
        return item

    def drain(self, max_n: int | None) -> list[Item]:
        """Take what there is, the oldest first, `max_n` at most."""
        items: list[Item] = []
        num_left = len(self._items) if max_n is None else max_n
        while num_left > 0 and (item := self.poll()) is not None:
            items.append(item)
            num_left -= 1
        return items

    async def recv(self) -> Item | None:
        """Wait for one; None once closed and empty. Cancelling loses none."""
        loop = asyncio.get_running_loop()
        while (item := self.poll()) is None and not self._is_closed:
            future: asyncio.Future[None] = loop.create_future()
            waiter = partial(self._waker.wake, future)
            self._waiters.append(waiter)
            if self._items or self._is_closed:
                # It came before there was somebody to wake.
                self._forget(waiter)
                continue
            try:
                await future
            except asyncio.CancelledError:
                self._forget(waiter)
                raise
        return item if item is not None else self.poll()

    def recv_blocking(self, deadline: Callable[[], float | None]) -> Item | None:
        """Wait for one in a thread without a loop; None once closed and empty.

        Args:
            deadline: Tells how many seconds are left; None for no end.

        Raises:
            TimeoutError: None came in time.
        """
        while (item := self.poll()) is None and not self._is_closed:
            event = threading.Event()
            self._waiters.append(event.set)
            if self._items or self._is_closed:
                self._forget(event.set)
                continue
            if not event.wait(deadline()):
                self._forget(event.set)
                if (item := self.poll()) is not None:
                    return item
                raise TimeoutError
        return item if item is not None else self.poll()

    def close(self) -> None:
        """Have all who wait get what is left, then None. Idempotent."""
        self._is_closed = True
        while self._waiters:
            self._wake_one()

    def _wake_one(self) -> None:
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        waiter()

    def _forget(self, waiter: Callable[[], None]) -> None:
        """Take back that one waits; if it was woken already, wake another instead."""
        try:
            self._waiters.remove(waiter)
        except ValueError:
            if self._items:
                self._wake_one()
