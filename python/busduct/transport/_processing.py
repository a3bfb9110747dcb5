"""Hand received messages to a coroutine function, batch after batch."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from busduct.errors import ClosedError

__all__ = ["Processing"]

T = TypeVar("T")

MAX_BATCH = 1024


class Processing(Generic[T]):
    """A task that takes what has come and waits until it is processed.

    Args:
        loop: Runs the task; its exception handler gets what `process` raises.
        recv: Waits for a message; ends the task by `ClosedError`.
        recv_nowait: Takes a further one, if there is one.
        process: Called with one batch at a time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        recv: Callable[[], Awaitable[T]],
        recv_nowait: Callable[[], T | None],
        process: Callable[[list[T]], Awaitable[None]],
    ) -> None:
        self._loop = loop
        self._recv = recv
        self._recv_nowait = recv_nowait
        self._process = process
        self._task = loop.create_task(self._run(), name="busduct-subscriber-process")

    async def wait_closed(self) -> None:
        """Wait until the task has ended, unless this is called from within it."""
        if self._task is not asyncio.current_task():
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        with suppress(ClosedError):
            while True:
                try:
                    await self._process(await self._take())
                except ClosedError:
                    raise
                except Exception as error:
                    message = "a subscriber could not process its messages"
                    self._loop.call_exception_handler(
                        {"message": message, "exception": error}
                    )

    async def _take(self) -> list[T]:
        messages = [await self._recv()]
        while len(messages) < MAX_BATCH:
            message = self._recv_nowait()
            if message is None:
                break
            messages.append(message)
        return messages
