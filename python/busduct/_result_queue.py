"""Results that wait to be taken, from any thread and any loop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from busduct._waking import Waker
from busduct.errors import WaitTimeoutError
from busduct.messages import QueryResult, StreamChunk

__all__ = ["ResultQueue"]

Item = QueryResult | StreamChunk

# Untaken results at which the workers' are not read any more, and at which they are
# again. What is not read is bounded by the transport.
HIGH = 65536
LOW = HIGH // 2


class ResultQueue:
    """A queue that anybody fills and empties; after its end, None.

    Those who wait are served in the order in which they came, before those who come
    later; `poll` and `drain` take what there is nevertheless.

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
        # What wakes each who waits; false if that one is gone. NB: it is looked at
        # without the lock once an item was added; who joins then looks at the items.
        self._line: deque[Callable[[], bool]] = deque()
        # Those who were woken and did not look yet: so many items are theirs.
        self._num_called = 0
        self._lock = threading.Lock()
        self._is_closed = False
        self.is_flowing = True

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add a result; wakes one who waits."""
        self._items.append(item)
        if self._line:
            with self._lock:
                self._call_first()
        if len(self._items) >= HIGH and self.is_flowing:
            self.is_flowing = False
            self._on_flow()

    def poll(self) -> Item | None:
        """Take the oldest; None if there is none."""
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        if not self.is_flowing:
            self._note_room()
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
        item, must_wait = self._take_unless_awaited()
        loop = asyncio.get_running_loop()
        has_waited = False
        while must_wait:
            future: asyncio.Future[None] = loop.create_future()
            call = partial(self._waker.wake, future)
            self._join(call, first=has_waited)
            try:
                # Who was called at once lets those go first who were before.
                await (asyncio.sleep(0) if future.done() else future)
            except BaseException:
                self._leave(call)
                raise
            item, must_wait = self._take_called()
            has_waited = True
        return item

    def recv_blocking(self, timeout: float | None) -> Item | None:
        """Wait for one in a thread without a loop; None once closed and empty.

        Args:
            timeout: Seconds; None for no end.

        Raises:
            WaitTimeoutError: None came in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        item, must_wait = self._take_unless_awaited()
        has_waited = False
        while must_wait:
            called = threading.Event()
            call = partial(_set, called)
            self._join(call, first=has_waited)
            try:
                left = None if end is None else end - time.monotonic()
                if not called.wait(left):
                    raise WaitTimeoutError(timeout or 0.0)
            except BaseException:
                self._leave(call)
                raise
            item, must_wait = self._take_called()
            has_waited = True
        return item

    def close(self) -> None:
        """Have all who wait get what is left, then None. Idempotent."""
        self._is_closed = True
        with self._lock:
            self._call_first()

    def _take_unless_awaited(self) -> tuple[Item | None, bool]:
        """Take one if nobody waits; tell whether to wait in line."""
        if self._is_closed:
            return self.poll(), False
        if self._line or self._num_called:
            return None, True
        item = self.poll()
        return item, item is None

    def _take_called(self) -> tuple[Item | None, bool]:
        """Take one, having been called; tell whether it is gone and to wait again."""
        # NB: at one stroke, or who joins in between would be called for this item.
        with self._lock:
            self._num_called -= 1
            try:
                item = self._items.popleft()
            except IndexError:
                return None, not self._is_closed
        self._note_room()
        return item, False

    def _note_room(self) -> None:
        if not self.is_flowing and len(self._items) <= LOW:
            self.is_flowing = True
            self._on_flow()

    def _join(self, call: Callable[[], bool], *, first: bool) -> None:
        """Stand in line, last or first."""
        with self._lock:
            if first:
                self._line.appendleft(call)
            else:
                self._line.append(call)
            self._call_first()

    def _leave(self, call: Callable[[], bool]) -> None:
        """Leave the line; if it was called already, call another instead."""
        with self._lock:
            try:
                self._line.remove(call)
            except ValueError:
                self._num_called -= 1
            self._call_first()

    def _call_first(self) -> None:
        """Call those who stand first: one for each item, or all at the end."""
        line = self._line
        while line and (self._is_closed or len(self._items) > self._num_called):
            self._num_called += line.popleft()()


def _set(event: threading.Event) -> bool:
    event.set()
    return True
