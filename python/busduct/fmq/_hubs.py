"""The hubs of one `FMQ`: one for each loop it is used in, ended with all else."""

import asyncio
import logging
import os
import threading
from contextlib import suppress
from typing import Protocol

from busduct._loop_thread import Job, LoopThread
from busduct.errors import ClosedError, LocalProtocolError
from busduct.fmq._at_exit import AtExit
from busduct.fmq._hub import Hub, HubSettings

__all__ = ["Carrier", "Hubs"]

_logger = logging.getLogger("busduct.fmq")

THREAD_NAME = "busduct fmq"


class Carrier(Protocol):
    """What has messages left from a hub that is gone."""

    @property
    def num_left(self) -> int:
        """Messages."""

    @property
    def name(self) -> str:
        """Of the queue."""

    def resume(self, hub: Hub) -> None:
        """Go on with them on another one, in its loop."""


class Hubs:
    """Gives each event loop its hub, and code without a loop one in a thread.

    May be called from any thread. In a forked child it begins anew.

    Args:
        settings: What each hub is made with.

    Attributes:
        is_closed: Whether there will be no further one.
        carriers: What has messages left; resumed on the next one.
    """

    def __init__(self, settings: HubSettings) -> None:
        self.is_closed = False
        self.carriers: set[Carrier] = set()
        self._settings = settings
        self._at_exit = AtExit(self.finish)
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._by_loop: dict[asyncio.AbstractEventLoop, Hub] = {}
        self._threaded: Hub | None = None

    def here(self) -> Hub:
        """Return the hub of the running loop.

        Raises:
            ClosedError: The `FMQ` is closed.
            ConfigError: As of `Hub`.
            RuntimeError: No loop is running.
        """
        self._check()
        loop = asyncio.get_running_loop()
        hub = self._by_loop.get(loop)
        if hub is None or hub.is_closed:
            with self._lock:
                hub = self._by_loop[loop] = self._make()
        return hub

    def threaded(self) -> Hub:
        """Return the hub whose loop runs in a thread of its own; blocks till it does.

        Raises:
            ClosedError: The `FMQ` is closed.
            ConfigError: As of `Hub`.
        """
        self._check()
        with self._lock:
            if self._threaded is None or self._threaded.is_closed:
                self._threaded = self._start_thread()
            return self._threaded

    def carry(self, carrier: Carrier) -> None:
        """Have what is left of a hub that is gone handed over by the next one."""
        if not self.is_closed:
            self.carriers.add(carrier)
            self._at_exit.register()
        else:
            text = "an FMQ is closed; nobody took %d messages of queue %r"
            _logger.warning(text, carrier.num_left, carrier.name)

    async def close(self) -> None:
        """End every hub, within the lingers. Idempotent; can be cancelled and resumed.

        Raises:
            LocalProtocolError: A loop with a hub of ours is stuck.
        """
        if self.carriers and not self.is_closed:
            self.here()
        self.is_closed = True
        for hub in self._living():
            if hub.loop is asyncio.get_running_loop():
                await hub.end()
            elif hub.is_stale:
                hub.abandon()
            else:
                await asyncio.wrap_future(Job(hub.loop, "fmq end", hub.end).future)
                if hub.thread is not None:
                    await asyncio.wrap_future(hub.thread.finished)
        self._forget(None)

    def close_soon(self) -> None:
        """End every hub in the background, as nobody will use it. Never waits."""
        if os.getpid() != self._pid:
            return
        self.is_closed = True
        for hub in self._living():
            if hub.loop.is_closed():
                hub.abandon()
            else:
                Job(hub.loop, "fmq end", hub.end)
        self._forget(None)

    def close_blocking(self) -> None:
        """Do what `close` does, where no loop runs in this thread."""
        if os.getpid() == self._pid:
            self.finish()
            self.is_closed = True
            self._forget(None)

    def finish(self) -> None:
        """Hand over what there is, within the lingers, and block until that is done.

        No loop runs in this thread.
        """
        if os.getpid() != self._pid:
            return
        for hub in self._living():
            _end_blocking(hub)
        if self.carriers and not self.is_closed:
            asyncio.run(self._hand_over())

    def _check(self) -> None:
        if os.getpid() != self._pid:
            self._begin_anew()
        if self.is_closed:
            raise ClosedError("FMQ")

    def _begin_anew(self) -> None:
        """Forget what is the parent's, in a forked child."""
        self._pid = os.getpid()
        # NB: a thread that this process does not have may hold the other one.
        self._lock = threading.RLock()
        self._by_loop = {}
        self._threaded = None
        self.carriers = set()
        self._at_exit = AtExit(self.finish)

    def _living(self) -> list[Hub]:
        with self._lock:
            threaded = [] if self._threaded is None else [self._threaded]
            return [*self._by_loop.values(), *threaded]

    def _forget(self, hub: Hub | None) -> None:
        with self._lock:
            if hub is not None and hub is self._threaded:
                self._threaded = None
            elif hub is not None and self._by_loop.get(hub.loop) is hub:
                del self._by_loop[hub.loop]
            if self.is_closed and not self._by_loop and self._threaded is None:
                self._at_exit.unregister()

    def _start_thread(self) -> Hub:
        thread = LoopThread(THREAD_NAME)

        async def make() -> Hub:
            return self._make(thread)

        try:
            return Job(thread.loop, THREAD_NAME, make).wait()
        except BaseException:
            thread.stop()
            raise

    def _make(self, thread: LoopThread | None = None) -> Hub:
        """Make a hub of the running loop, and go on there with what is left."""
        hub = Hub(self._settings, thread, self._forget)
        self._at_exit.register()
        carriers, self.carriers = self.carriers, set()
        for carrier in carriers:
            carrier.resume(hub)
        return hub

    async def _hand_over(self) -> None:
        await self.here().end()


def _end_blocking(hub: Hub) -> None:
    if hub.is_stale and not hub.loop.is_closed():
        hub.loop.run_until_complete(hub.end())
    elif not hub.is_stale:
        # A loop that its thread has left cannot do it.
        with suppress(LocalProtocolError):
            Job(hub.loop, "fmq end", hub.end).wait()
            if hub.thread is not None:
                hub.thread.join()
            return
    hub.abandon()
