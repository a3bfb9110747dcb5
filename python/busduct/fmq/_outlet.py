"""Messages of a consumer, on their way to threads that do not run its loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from busduct.errors import ClosedError
from busduct.fmq._consumer import Consumer
from busduct.fmq._enduring_task import EnduringTask
from busduct.fmq._message import Message

__all__ = ["Outlet"]

# Taken ahead of those who ask, so that most of them need not wait for the loop.
MAX_READY = 64


class Outlet:
    """Holds some messages ready for other threads, and acknowledges what they took.

    Args:
        loop: Where the consumer lives, and this is made.
        consumer: The consumer.
        is_auto: Acknowledge what is taken.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, consumer: Consumer, *, is_auto: bool
    ) -> None:
        self._loop = loop
        self._consumer = consumer
        self._is_auto = is_auto
        self._lock = threading.Lock()
        self._ready: deque[Message] = deque()
        self._waiters: dict[Callable[[], object], None] = {}
        self._is_due = False
        self._is_closed = False
        self._filling: EnduringTask | None = None

    def take(self) -> Message | None:
        """Take a message, in any thread; None if none is ready.

        Raises:
            ClosedError: The consumer is closed.
        """
        with self._lock:
            if self._is_closed:
                raise ClosedError("queue")
            message = self._ready.popleft() if self._ready else None
            if len(self._ready) < MAX_READY // 2:
                self._ask()
        if message is not None and self._is_auto:
            message._acknowledge()
        return message

    def add_waiter(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, in the loop, whenever messages have become ready."""
        with self._lock:
            self._waiters[wake] = None
            if self._ready or self._is_closed:
                wake()
            else:
                self._ask()

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        """Have it called no more."""
        with self._lock:
            self._waiters.pop(wake, None)

    async def close(self) -> None:
        """Wake all who wait; in the loop. What is ready is the consumer's again."""
        with self._lock:
            self._is_closed = True
            self._ready.clear()
        self._wake()
        if self._filling is not None:
            self._filling.cancel()
            await self._filling.wait_ended()

    def _ask(self) -> None:
        # The lock is held.
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._loop.call_soon_threadsafe(self._serve)

    def _serve(self) -> None:
        self._is_due = False
        if self._is_closed:
            return
        while len(self._ready) < MAX_READY:
            message = self._consumer.get_nowait(acknowledge=False)
            if message is None:
                break
            self._ready.append(message)
        if self._ready:
            self._wake()
        elif self._waiters and (self._filling is None or self._filling.done):
            self._filling = EnduringTask("fmq outlet", self._fill)

    async def _fill(self) -> None:
        """Wait for messages as long as anybody does."""
        with suppress(ClosedError):
            while self._waiters and not self._ready:
                messages = await self._consumer.get_many(MAX_READY, acknowledge=False)
                with self._lock:
                    self._ready.extend(messages)
                self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiters = list(self._waiters)
        for wake in waiters:
            wake()
