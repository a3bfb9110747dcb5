"""What an `FMQ` holds in one event loop: a context, and all that is open on it."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from busduct._backend import load_backend
from busduct._loop_thread import LoopThread
from busduct.errors import BusductError, ClosedError, ForkedError
from busduct.fmq._data_endpoints import DataEndpoints
from busduct.fmq._endpoint_manager import EndpointManager
from busduct.fmq._enduring_task import abandon_tasks, wait_ending_tasks
from busduct.fmq._options import QueueOptions

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Hub", "HubSettings", "Part"]

_logger = logging.getLogger("busduct.fmq")


@dataclass(frozen=True)
class HubSettings:
    """What every hub of an `FMQ` is made with.

    Attributes:
        manager: Knows the addresses and options of queues and topics.
        key: Of the context.
        shm: Of the context.
    """

    manager: EndpointManager
    key: bytes | None = None
    shm: str = "auto"


class Part(Protocol):
    """What is open on a hub, and has to be closed before its context is."""

    async def close(self) -> None:
        """Hand over what there is, within the linger. Idempotent."""

    def abandon(self) -> None:
        """End at once: the loop runs no more."""

    def settle(self) -> None:
        """Save what was not handed over, as the context is closed."""


class Hub:
    """One loop's context and what is open on it.

    It ends by `end`, or with its loop: `asyncio.run` and the like let asynchronous
    generators end before they close a loop, and one of those is ours.

    Args:
        settings: What to make it with.
        thread: Runs the loop, where that is for this hub alone.
        on_end: Called when all is closed.

    Attributes:
        loop: The one that was running.
        context: Owns the sockets.
        thread: As given.
        is_closed: Whether nothing can be opened on it any more.

    Raises:
        ConfigError: As of `Context`.
        RuntimeError: No loop is running.
    """

    def __init__(
        self,
        settings: HubSettings,
        thread: LoopThread | None = None,
        on_end: Callable[["Hub"], None] = lambda _: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = thread
        self.is_closed = False
        self._is_ended = False
        self._manager = settings.manager
        self._on_end = on_end
        self._pid = os.getpid()
        self._thread_id = threading.get_ident()
        self._parts: dict[Part, bool] = {}
        self._endpoints = DataEndpoints(settings.manager)
        self._ending = asyncio.Lock()
        self.context: Context = load_backend().Context(
            key=settings.key,
            shm=settings.shm,
            io_thread=settings.manager.uses_io_thread,
        )
        self._generator = self._end_with_loop()
        # Its first step tells the loop of it.
        with suppress(StopIteration):
            self._generator.__anext__().send(None)

    @property
    def is_stale(self) -> bool:
        """Whether its loop ended without it, or is one that waits in this thread."""
        if self.loop.is_closed():
            return True
        is_own = self._thread_id == threading.get_ident()
        return is_own and not self.loop.is_running()

    def address_of(self, name: str) -> str:
        """Return where a queue or topic is found.

        Raises:
            ConfigError: Not a name, or no address for it.
        """
        return self._manager.address_of(name)

    def data_endpoint(self, name: str) -> str:
        """Return an endpoint to bind, for a consumer of a queue or such.

        Raises:
            ConfigError: As of `DataEndpoints.endpoint`.
            OSError: As of that, too.
        """
        return self._endpoints.endpoint(name)

    def options_of(self, name: str, **overrides: Any) -> QueueOptions:
        """Return the options of a queue, of which the caller may set some.

        Raises:
            ConfigError: A name or a value that none can have.
        """
        return self._manager.options_of(name, **overrides)

    def add(self, part: Part, *, is_last: bool = False) -> None:
        """Have `part` closed at the end.

        Args:
            part: What to close.
            is_last: Close it when all others are.

        Raises:
            ClosedError: The end has come.
            ForkedError: This process was forked from the one that it is of.
        """
        self.check_process()
        if self.is_closed:
            raise ClosedError("FMQ")
        self._parts[part] = is_last

    def discard(self, part: Part) -> None:
        """Forget `part`, which is closed."""
        self._parts.pop(part, None)

    def check_process(self) -> None:
        """Do nothing in the process that made this.

        Raises:
            ForkedError: In any other.
        """
        if os.getpid() != self._pid:
            raise ForkedError

    async def end(self) -> None:
        """Close what is open, within its linger, and the context. Idempotent.

        Cancelled, it can be called again.
        """
        await self._end()
        # It is at its end itself where the loop ends.
        with suppress(RuntimeError):
            await self._generator.aclose()
        if self.thread is not None:
            self.thread.stop()

    def abandon(self) -> None:
        """Close all at once, when the loop runs no more. Idempotent."""
        if self._is_ended:
            return
        self.is_closed = self._is_ended = True
        abandon_tasks(self.loop)
        for part in self._parts:
            # Who waits in that loop cannot be told.
            with suppress(BusductError, RuntimeError):
                part.abandon()
        with suppress(BusductError):
            self.context.close()
        self._let_go()

    async def _end(self) -> None:
        async with self._ending:
            if self._is_ended:
                return
            # What consumers give back is handed over by the producers of this process.
            closed: set[Part] = set()
            while early := [
                part
                for part, is_last in self._parts.items()
                if not is_last and part not in closed
            ]:
                await _close(early)
                closed.update(early)
            self.is_closed = True
            await _close([part for part in self._parts if part not in closed])
            await self.context.aclose()
            # Whose loop may not run any further.
            await wait_ending_tasks()
            self._is_ended = True
            self._let_go()

    def _let_go(self) -> None:
        for part in tuple(self._parts):
            part.settle()
        self._parts.clear()
        self._endpoints.close()
        self._on_end(self)

    async def _end_with_loop(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._end()


async def _close(parts: list[Part]) -> None:
    closings = (part.close() for part in parts)
    for ended in await asyncio.gather(*closings, return_exceptions=True):
        if isinstance(ended, Exception):
            _logger.error("a part of an FMQ did not close", exc_info=ended)
