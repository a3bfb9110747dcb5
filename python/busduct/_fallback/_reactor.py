"""One selector over every descriptor of a context, its timers, and who may use them."""

import asyncio
import contextlib
import heapq
import os
import selectors
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from busduct._fallback._timer import Timer
from busduct._fallback._timer_descriptor import TimerDescriptor
from busduct._fallback._turn import Turn
from busduct.errors import ForkedError, LocalProtocolError

__all__ = ["MAX_PATIENCE_SECONDS", "Reactor", "Wakeable"]

_COMPACT_FROM = 64
# Selectors and loops refuse to wait for ages; waking now and then costs nothing.
MAX_PATIENCE_SECONDS = 3600.0


class Handler(Protocol):
    """What is told when its descriptor is ready."""

    def on_events(self, mask: int) -> None:
        """Do what is ready."""


class Flushable(Protocol):
    """What gathers bytes to be written at the end of a call or a turn."""

    def flush(self) -> None:
        """Write them."""


class Wakeable(Protocol):
    """Where tasks wait."""

    def __bool__(self) -> bool:
        """Whether any does."""

    def wake(self) -> None:
        """Wake the first."""


class Reactor:
    """The event loop of one context; driven by asyncio or by `process`.

    Entered as a context manager by each call of the owner, which is how use after fork
    and use from two threads at once are found out.

    Attributes:
        running: The asyncio loop that runs in the call in progress, if any.
        scratch: Where links read into.
        turn: What its tasks took since others had theirs.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0
        self._timer_descriptor: TimerDescriptor | None = None
        self._timers: list[Timer] = []
        self._num_cancelled = 0
        self._dirty: list[Flushable] = []
        self._is_flush_due = False
        self.running: asyncio.AbstractEventLoop | None = None
        self.scratch = memoryview(bytearray(128 << 10))
        self.turn = Turn()
        self.is_closed = False

    def __enter__(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        if not self._guard.acquire(blocking=False):
            msg = "another call of this context is in progress"
            raise LocalProtocolError(msg)
        try:
            loop = asyncio._get_running_loop()
            if loop is not self._loop and not self.is_closed:
                self._attach(loop)
            self.running = loop
        except BaseException:
            self._guard.release()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            self._leave()
        finally:
            self._release()

    def _leave(self) -> None:
        if self.running is None:
            self.flush()
        elif self._dirty and not self._is_flush_due:
            self._is_flush_due = True
            self.running.call_soon(self._on_flush_due)
        self._arm()

    def _release(self) -> None:
        self._guard.release()

    @property
    def is_foreign(self) -> bool:
        """Whether this process is a forked child of the owner."""
        return os.getpid() != self._pid

    def fileno(self) -> int:
        """Return the selector's descriptor."""
        return int(self._selector.fileno())

    def watched_fileno(self) -> int:
        """Return the same for whoever may watch it besides the loop."""
        return self.fileno()

    def watch(self, fd: int, before: int, after: int, handler: Handler) -> None:
        """Change the events that a descriptor is watched for."""
        if before == after:
            return
        if not before:
            self._selector.register(fd, after, handler)
        elif not after:
            self._selector.unregister(fd)
        else:
            self._selector.modify(fd, after, handler)

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more, if it is watched."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Make a call after so many seconds."""
        timer = Timer(self.forget_timer, time.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def forget_timer(self) -> None:
        """Count a cancelled timer, so that those do not gather."""
        self._num_cancelled += 1
        if self._num_cancelled > max(_COMPACT_FROM, len(self._timers) // 2):
            self._timers = [timer for timer in self._timers if timer.call]
            heapq.heapify(self._timers)
            self._num_cancelled = 0

    def flush_later(self, link: Flushable) -> None:
        """Have a link written when the owner suspends, or at the end of this turn."""
        self._dirty.append(link)

    def flush(self) -> None:
        """Write what gathered."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for link in dirty:
                link.flush()

    def defer(self, queue: Wakeable) -> bool:
        """Note whom to wake in the owner's thread; False if this is that."""
        return False

    def process(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds (None: no bound) and do what is ready."""
        self._turn(timeout)

    def _turn(self, timeout: float | None) -> bool:
        """Wait and do what is ready; tell whether there was anything."""
        is_busy = bool(self._dirty)
        self.flush()
        for key, mask in self._selector.select(self._patience(timeout)):
            is_busy = True
            key.data.on_events(mask)
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            call, timer.call = timer.call, None
            if call is None:
                self._num_cancelled -= 1
            else:
                is_busy = True
                call()
        self.flush()
        return is_busy

    def _patience(self, timeout: float | None) -> float | None:
        if timeout is None and not self._timers:
            return None
        left = MAX_PATIENCE_SECONDS if timeout is None else max(timeout, 0)
        if self._timers:
            left = min(left, max(self._timers[0].due - time.monotonic(), 0))
        return min(left, MAX_PATIENCE_SECONDS)

    def _attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self._loop is not None and self._loop.is_running():
            msg = "context is in use by another running event loop"
            raise LocalProtocolError(msg)
        if loop is None:
            return
        self._detach()
        loop.add_reader(self.fileno(), self._on_readable)
        self._loop = loop

    def _detach(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self.fileno())
        self._loop = None
        self._is_flush_due = False

    def _on_readable(self) -> None:
        # A call from another thread that is in progress does the work itself.
        with contextlib.suppress(LocalProtocolError, ForkedError), self:
            if not self.is_closed:
                self.process(0)

    def _on_flush_due(self) -> None:
        self._is_flush_due = False
        with contextlib.suppress(LocalProtocolError, ForkedError), self:
            self.flush()

    def _on_alarm(self) -> None:
        self._alarm = None
        self._on_readable()

    def _arm(self) -> None:
        """Have somebody call when the next timer is due."""
        if self._loop is None or self._timer_descriptor is not None:
            self._arm_descriptor()
        if self._loop is None or not self._timers or self._loop.is_closed():
            return
        due = self._timers[0].due
        if self._alarm is not None:
            if self._alarm_due <= due:
                return
            self._alarm.cancel()
        self._alarm_due = due
        delay = min(max(due - time.monotonic(), 0.0), MAX_PATIENCE_SECONDS)
        self._alarm = self._loop.call_later(delay, self._on_alarm)

    def _arm_descriptor(self) -> None:
        """Make the context's descriptor readable when the next timer is due.

        An asyncio loop has an alarm of its own.
        """
        is_needed = self._timers and self._loop is None and not self.is_closed
        due = self._timers[0].due if is_needed else 0.0
        if self._timer_descriptor is None and due:
            self._timer_descriptor = TimerDescriptor()
            fd = self._timer_descriptor.fd
            if fd >= 0:
                self.watch(fd, 0, selectors.EVENT_READ, self._timer_descriptor)
        if self._timer_descriptor is not None:
            self._timer_descriptor.set(due)

    def abandon(self, last_call: Callable[[], None]) -> None:
        """Close from a finaliser, after a last call."""
        last_call()
        self.close()

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self.is_foreign:
            self._detach()
        self._timers.clear()
        self._dirty.clear()
        # NB: in a forked child the descriptor is shared with the parent; closing the
        # copy is safe, taking descriptors out of it would not be.
        self._selector.close()
        if self._timer_descriptor is not None:
            self._timer_descriptor.close()
