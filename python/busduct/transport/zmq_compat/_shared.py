"""One busduct context that any number of threads and event loops may use.

A busduct context is for one thread at a time, and libzmq's is for all. So every call is
made under a lock, none of them waits, and who has to wait does so outside the lock, on
the context's descriptor. Only one of the waiting is sure to see that descriptor become
readable; so whoever leaves the lock wakes those whose sockets became ready meanwhile.
"""

import asyncio
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from busduct._backend import load_backend
from busduct.errors import BusductError
from busduct.transport.zmq_compat.constants import Errno
from busduct.transport.zmq_compat.error import ContextTerminated, ZMQError, translate

if TYPE_CHECKING:
    from types import TracebackType

    from busduct._core import Context as CoreContext
    from busduct._core import Socket as CoreSocket

__all__ = ["Closable", "SharedContext", "Waiter"]


class Waiter(Protocol):
    """Who waits for sockets of a context."""

    def is_ready(self) -> bool:
        """Tell whether waiting may be over; called under the context's lock."""

    def wake(self) -> None:
        """End the waiting; called from any thread, under the context's lock."""


class Closable(Protocol):
    """A socket, as far as its context must know it."""

    def close_locked(self) -> None:
        """Close it; called under the context's lock."""

    def interrupt(self) -> None:
        """Let no call succeed any more; called under the context's lock."""


class SharedContext:
    """A busduct context behind a lock; entered for each call of it.

    Attributes:
        key: What TCP peers must know too, or None.
        insecure: Whether TCP may be bound beyond loopback without a key.
        pid: Of the process that made it.
        is_atomic: Each call of its busduct context is whole without the lock.
        is_terminated: Every call but closing fails from here on.
        is_closed: Nothing is left to be closed.
    """

    def __init__(self, *, key: bytes | None = None, insecure: bool = False) -> None:
        self.key = key
        self.insecure = insecure
        self.is_atomic = False
        self.is_terminated = False
        self.is_closed = False
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._has_no_sockets = threading.Condition(self._lock)
        self._running: asyncio.AbstractEventLoop | None = None
        self._core: CoreContext | None = None
        self._waiters: set[Waiter] = set()
        self._spared: Waiter | None = None
        self._sockets: set[Closable] = set()
        self._dropped: deque[Closable] = deque()

    @property
    def is_foreign(self) -> bool:
        """Whether this process is a forked child of the owner."""
        return os.getpid() != self.pid

    def __enter__(self) -> None:
        if os.getpid() != self.pid:
            msg = "context belongs to the parent process; make one here"
            raise ZMQError(Errno.ENOTSOCK, msg)
        self._lock.acquire()
        self._hide_loop()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: "TracebackType | None",
    ) -> None:
        try:
            while self._dropped:
                self._dropped.popleft().close_locked()
            for waiter in self._waiters:
                if waiter is not self._spared and waiter.is_ready():
                    waiter.wake()
        finally:
            self._spared = None
            if self._running is not None:
                asyncio._set_running_loop(self._running)
                self._running = None
            self._lock.release()

    def _hide_loop(self) -> None:
        # A busduct context ties itself to the loop that runs, and refuses other
        # threads then. This one is tied to none: see `_futures.LoopWaiter`.
        self._running = asyncio._get_running_loop()
        if self._running is not None:
            asyncio._set_running_loop(None)

    def open(self, kind: int, options: dict[str, Any]) -> "CoreSocket":
        """Open a socket; called under the lock.

        Raises:
            ZMQError: EINVAL: an option out of its range.
        """
        try:
            return self.core.socket(kind, **options)
        except BusductError as error:
            raise translate(error) from error

    @property
    def core(self) -> "CoreContext":
        """The busduct context, opened when first asked for, under the lock."""
        if self._core is None:
            backend = load_backend()
            # libzmq's programs rely on a thread that goes on with what they sent.
            self._core = backend.Context(key=self.key, io_thread=True)
            # A native call never gives the interpreter to another thread.
            self.is_atomic = backend.BACKEND == "rust"
        return self._core

    def fileno(self) -> int:
        """Return the descriptor that tells when `process` has work."""
        with self:
            return self.core.fileno()

    def process(self) -> None:
        """Do what is ready; called under the lock."""
        if self._core is not None:
            self._core.run_once(0.0)

    def check(self) -> None:
        """Raise if the context was terminated.

        Raises:
            ContextTerminated: It was.
        """
        if self.is_terminated:
            raise ContextTerminated

    def watch(self, waiter: Waiter) -> None:
        """Wake `waiter` when its sockets become ready; called under the lock."""
        self._waiters.add(waiter)

    def forget(self, waiter: Waiter) -> None:
        """Wake `waiter` no more; called under the lock."""
        self._waiters.discard(waiter)

    def spare(self, waiter: Waiter) -> None:
        """Do not wake `waiter` when the lock is left: it is who holds it."""
        self._spared = waiter

    def add(self, socket: Closable) -> None:
        """Wait for this socket to be closed before the context is; under the lock."""
        self._sockets.add(socket)

    def remove(self, socket: Closable) -> None:
        """Tell that a socket is closed; called under the lock."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._has_no_sockets.notify_all()

    def drop(self, socket: Closable) -> None:
        """Close a socket that nobody refers to; called from anywhere, even amid a call.

        Collecting garbage may begin under the lock, in the thread that holds it: then
        the socket is closed at the end of that call.
        """
        if self.is_foreign:
            return
        self._dropped.append(socket)
        if self._lock.acquire(blocking=False):
            self._hide_loop()
            self.__exit__(None, None, None)

    def terminate(self) -> None:
        """Fail every call from here on, wait for all sockets to be closed, and end.

        Blocks until what was sent is gone, or the lingers are over. Idempotent.
        """
        if self.is_foreign:
            self.is_terminated = self.is_closed = True
            return
        self.is_terminated = True
        with self._lock:
            for socket in self._sockets:
                socket.interrupt()
            for waiter in self._waiters:
                waiter.wake()
            while self._sockets:
                self._has_no_sockets.wait()
        with self:
            if self._core is not None:
                self._core.close()
                self._core = None
            self.is_closed = True
