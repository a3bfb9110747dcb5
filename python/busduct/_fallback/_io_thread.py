"""A reactor that a thread of its own turns over while the owner is away."""

import math
import sys
import threading
from collections.abc import Callable
from selectors import EVENT_READ
from typing import Final

from busduct._fallback._bell import Bell, wait_readable
from busduct._fallback._reactor import MAX_PATIENCE_SECONDS, Reactor, Wakeable

__all__ = ["ThreadedReactor"]

_THREAD_NAME: Final = "busduct-io"
# A finaliser may run while this very thread is amid a call, which holds the lock that
# the thread needs to end.
_ABANDON_SECONDS: Final = 1.0


class ThreadedReactor(Reactor):
    """Reads, writes, connects and keeps time in a thread of its own.

    Everything that the reactor drives is touched only under the lock, by the thread or
    by the call of the owner that is in progress. The thread never holds it while it
    waits, and never wakes tasks, which are the loop's: it notes whom to wake, and rings
    the bell that the loop, `process` or a loop of the user's own watches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        # Rung for the owner, and for the thread.
        self._notice = Bell()
        self._summons = Bell()
        self.watch(self._summons.fileno(), 0, EVENT_READ, self._summons)
        self._wakes: dict[Wakeable, int] = {}
        self._sleeps_until = 0.0
        self._is_owner_waiting = False
        self._is_watched = False
        # Something happened that the owner has not looked at.
        self._has_news = False
        self._is_ending = False
        self._last_call: Callable[[], None] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name=_THREAD_NAME, daemon=True
        )
        self._thread.start()

    def __enter__(self) -> None:
        super().__enter__()
        self._lock.acquire()

    def _leave(self) -> None:
        if self.is_closed:
            return
        if self.running is None:
            self.flush()
        self._summon()

    def _release(self) -> None:
        self._lock.release()
        super()._release()

    def _summon(self) -> None:
        """Wake the thread if there is something to be done before it wakes itself."""
        if self._dirty or (self._timers and self._timers[0].due < self._sleeps_until):
            self._summons.ring()

    def fileno(self) -> int:
        """Return what is readable when the owner has something to attend to."""
        return self._notice.fileno()

    def watched_fileno(self) -> int:
        """Return the same for whoever may watch it besides the loop."""
        self._is_watched = True
        if self.running is None and self._has_news:
            self._notice.ring()
        return self.fileno()

    def defer(self, queue: Wakeable) -> bool:
        """Note whom to wake in the owner's thread; False if this is that."""
        if threading.get_ident() != self._thread.ident:
            return False
        self._wakes[queue] = self._wakes.get(queue, 0) + 1
        self._notice.ring()
        return True

    def process(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds for the thread to have done something.

        Raises:
            RuntimeError: The thread failed, which is an error of this package.
        """
        self.flush()
        self._summon()
        self._is_owner_waiting = True
        if self._has_news:
            self._notice.ring()
        self._lock.release()
        try:
            left = MAX_PATIENCE_SECONDS if timeout is None else timeout
            wait_readable(self.fileno(), min(left, MAX_PATIENCE_SECONDS))
        finally:
            self._lock.acquire()
            self._is_owner_waiting = False
        if self._failure is not None:
            msg = "the thread of this context failed"
            raise RuntimeError(msg) from self._failure
        self._notice.clear()
        self._has_news = False
        self._wake_tasks()

    def _wake_tasks(self) -> None:
        wakes, self._wakes = self._wakes, {}
        for queue, num_wakes in wakes.items():
            for _ in range(num_wakes):
                if not queue:
                    break
                queue.wake()

    def _run(self) -> None:
        try:
            while (patience := self._take_turn()) is not None:
                wait_readable(super().fileno(), patience)
        except BaseException as error:
            with self._lock:
                self._failure = error
                self._notice.ring()
            raise

    def _take_turn(self) -> float | None:
        """Do what is ready; return for how long there is nothing more, None to end."""
        with self._lock:
            if self._turn(0):
                self._has_news = True
                if self._is_notice_due:
                    self._notice.ring()
            if self._last_call is not None:
                self._last_call()
                self._close_descriptors()
                return None
            if self._is_ending:
                return None
            self._sleeps_until = self._timers[0].due if self._timers else math.inf
            patience = self._patience(None)
            return MAX_PATIENCE_SECONDS if patience is None else patience

    @property
    def _is_notice_due(self) -> bool:
        """Whether the owner, other than a loop with tasks, may wait for anything."""
        is_loop_running = self._loop is not None and self._loop.is_running()
        return self._is_owner_waiting or self._is_watched or not is_loop_running

    def abandon(self, last_call: Callable[[], None]) -> None:
        """Close from a finaliser, which runs in any thread and amid any call."""
        self._detach()
        self._last_call = last_call
        self._summons.ring()
        if self._thread is not threading.current_thread() and not sys.is_finalizing():
            self._thread.join(_ABANDON_SECONDS)

    def close(self) -> None:
        """End the thread, and watch nothing any more. Idempotent."""
        if self.is_closed:
            return
        if not self.is_foreign:
            self._is_ending = True
            self._summons.ring()
            # It needs the lock to see that it is to end.
            self._lock.release()
            self._thread.join()
            self._lock.acquire()
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        super().close()
        self._notice.close()
        self._summons.close()
