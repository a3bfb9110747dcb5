"""One end of a queue, as it is opened in one loop after the other."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from busduct._loop_thread import Job, is_running_in
from busduct.errors import ClosedError, ForkedError, LocalProtocolError
from busduct.fmq._hub import Hub
from busduct.fmq._hubs import Hubs
from busduct.fmq._options import QueueOptions
from busduct.statistics import QueueConsumerStatistics, QueueProducerStatistics

__all__ = ["QueueStatistics", "Side", "in_loop_of"]

T = TypeVar("T")

QueueStatistics: TypeAlias = QueueProducerStatistics | QueueConsumerStatistics


class Side:
    """What producing and consuming sides have in common: where they are open.

    It is open on at most one hub. When that ends, with its loop or else, the next use
    opens it again on another.

    Args:
        hubs: Of the `FMQ`.
        name: Of the queue.
        options: Of the queue.

    Attributes:
        name: Of the queue.
        options: Of the queue.
        hub: Where it is open; None if it is not.
        loop: That of `hub`.
        is_closed: Whether it cannot be opened any more.
        what: A word for it.
        closes_last: Whether it takes over what others of its hub give back.
    """

    what = "queue"
    closes_last = False

    def __init__(self, hubs: Hubs, name: str, options: QueueOptions) -> None:
        self.name = name
        self.options = options
        self.hub: Hub | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_closed = False
        self._hubs = hubs
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def open_here(self) -> bool:
        """Be open in the running loop.

        Returns:
            False if it is open in the thread of an `FMQ`, whose loop has to be asked.

        Raises:
            ClosedError: The queue or its `FMQ` is closed.
            ForkedError: It is open in the parent process.
            LocalProtocolError: It is open in another loop.
        """
        self._check_process()
        with self._lock:
            self._leave_stale_hub()
            if self.hub is None:
                self.resume(self._hubs.here())
            elif self.hub.thread is not None:
                return False
            elif self.hub.loop is not asyncio.get_running_loop():
                msg = (
                    f"{self.what} {self.name!r} is in use in another event loop; "
                    f"ask the FMQ for another {self.what} object here"
                )
                raise LocalProtocolError(msg)
            return True

    def open_anywhere(self) -> Hub:
        """Be open; return where. Blocks; in no loop's thread.

        Raises:
            ClosedError: The queue or its `FMQ` is closed.
            ForkedError: It is open in the parent process.
        """
        self._check_process()
        with self._lock:
            self._leave_stale_hub()
            if self.hub is None:
                hub = self._hubs.threaded()
                in_loop_of(hub, "fmq open", self._open_in(hub)).wait()
            assert self.hub is not None
            return self.hub

    def resume(self, hub: Hub) -> None:
        """Open, and go on with what was left, on `hub`, in its loop. Idempotent."""
        # NB: a new hub does so itself with those that have something left.
        if self.hub is None:
            self._open(hub)

    async def close(self) -> None:
        """Hand over what there is, within the linger; in the loop. Idempotent."""
        raise NotImplementedError

    def abandon(self) -> None:
        """End at once: the loop runs no more."""
        raise NotImplementedError

    def settle(self) -> None:
        """Keep what was not handed over, for the next hub."""
        self.hub = self.loop = None

    async def elsewhere(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine where the side is open, which is not in the running loop."""
        assert self.hub is not None
        job = in_loop_of(self.hub, "fmq call", make)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.cancel()
            raise

    def look(self, find: Callable[[], T]) -> T:
        """Call a function where the side is open, from anywhere; it does not wait."""
        hub = self.hub
        if hub is None or hub.is_stale or is_running_in(hub.loop):
            return find()

        async def find_there() -> T:
            return find()

        return in_loop_of(hub, "fmq look", find_there).wait()

    def blocking(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine where the side is open, in no loop's thread."""
        job = in_loop_of(self.open_anywhere(), "fmq call", make)
        try:
            return job.wait()
        except BaseException:
            job.cancel()
            raise

    async def close_here(self) -> None:
        """Close for good, whichever loop runs. Idempotent."""
        self._check_process()
        self.is_closed = True
        hub = self.hub
        if hub is None:
            self._hubs.carriers.discard(self)
        elif hub.is_stale:
            hub.abandon()
        elif hub.loop is asyncio.get_running_loop():
            await self._end()
        else:
            await self.elsewhere(self._end)

    def close_blocking(self) -> None:
        """Close for good; in no loop's thread. Idempotent."""
        self._check_process()
        self.is_closed = True
        hub = self.hub
        if hub is None:
            self._hubs.carriers.discard(self)
        elif not hub.is_stale:
            in_loop_of(hub, "fmq close", self._end).wait()
        elif hub.loop.is_closed():
            hub.abandon()
        else:
            hub.loop.run_until_complete(self._end())

    def end_soon(self) -> None:
        """Close for good in the background, as nobody uses it any more."""
        hub = self.hub
        if os.getpid() != self._pid or hub is None or self.is_closed:
            return
        self.is_closed = True
        with suppress(LocalProtocolError):
            in_loop_of(hub, "fmq close", self._end)

    def statistics(self) -> QueueStatistics:
        """Return the counters."""
        raise NotImplementedError

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong."""
        raise NotImplementedError

    def undelivered(self) -> list[Any]:
        """Return what nobody will deliver."""
        raise NotImplementedError

    async def _end(self) -> None:
        await self.close()
        if self.hub is not None:
            self.hub.discard(self)
        self.hub = self.loop = None
        self._hubs.carriers.discard(self)

    def _open(self, hub: Hub) -> None:
        hub.add(self, is_last=self.closes_last)
        try:
            self._open_on(hub)
        except BaseException:
            hub.discard(self)
            raise
        self.hub, self.loop = hub, hub.loop
        self._hubs.carriers.discard(self)

    def _open_on(self, hub: Hub) -> None:
        raise NotImplementedError

    def _forget_parent(self) -> None:
        """Forget what belongs to the process that this one was forked from."""

    def _open_in(self, hub: Hub) -> Callable[[], Coroutine[Any, Any, None]]:
        async def open_there() -> None:
            self.resume(hub)

        return open_there

    def _check_process(self) -> None:
        if os.getpid() == self._pid:
            return
        if self.hub is not None:
            raise ForkedError
        # NB: a thread that this process does not have may hold the lock.
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._forget_parent()

    def _leave_stale_hub(self) -> None:
        if self.hub is not None and self.hub.is_stale:
            self.hub.abandon()
        if self.is_closed:
            raise ClosedError(self.what)


def in_loop_of(
    hub: Hub, name: str, make: Callable[[], Coroutine[Any, Any, T]]
) -> Job[T]:
    """Have a coroutine run in the loop of a hub, which runs in another thread.

    Raises:
        LocalProtocolError: The loop is closed.
    """
    return Job(hub.loop, name, make)
