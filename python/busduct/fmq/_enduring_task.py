"""A task that only its owner can end."""

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["EnduringTask", "abandon_tasks", "wait_ending_tasks"]

# Code that cancels whatever there is until nothing is left comes to an end.
MAX_RESTARTS = 16

_alive: "weakref.WeakSet[EnduringTask]" = weakref.WeakSet()


class EnduringTask:
    """Runs a coroutine, and runs it afresh when somebody else cancels it.

    NB: `asyncio.run` cancels every task before it lets asynchronous generators end,
    which is when what was put last is handed over: tasks have to be there for it.

    Args:
        name: Of the task.
        make: Makes the coroutine. It is called again after a cancellation, so what
            must last is not kept in the coroutine.

    Raises:
        RuntimeError: No loop is running.
    """

    def __init__(
        self, name: str, make: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._name = name
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._is_ended = False
        self._restarts_left = MAX_RESTARTS
        self._task = self._begin()
        _alive.add(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where it runs."""
        return self._loop

    @property
    def is_ending(self) -> bool:
        """Whether its owner has ended it, and it still runs."""
        return self._is_ended and not self._task.done()

    @property
    def done(self) -> bool:
        """Whether it runs no more, and will not."""
        return self._task.done() and not self._begins_again(self._task)

    def cancel(self) -> None:
        """End it for good. Idempotent."""
        if not self._is_ended:
            self._is_ended = True
            self._task.cancel()

    async def wait_ended(self) -> None:
        """Wait until it runs no more; what it raised has been told to the loop.

        Cancelling this leaves it as it is.
        """
        while not self.done:
            await asyncio.wait({self._task})
            # Where it begins again, it does in a callback that was added before ours.

    def abandon(self) -> None:
        """End it at once, when the loop runs no more. Idempotent."""
        self._is_ended = True
        if not self._task.done():
            # NB: what it waits for holds it in turn, out of the collector's sight.
            self._task.get_coro().close()
            self._task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _begin(self) -> asyncio.Task[None]:
        task = self._loop.create_task(self._make(), name=self._name)
        task.add_done_callback(self._on_done)
        return task

    def _begins_again(self, task: asyncio.Task[None]) -> bool:
        return task.cancelled() and not self._is_ended and self._restarts_left > 0

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self._begins_again(task):
            self._restarts_left -= 1
            self._task = self._begin()
        elif not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {
                    "message": f"{self._name} ended",
                    "exception": error,
                    "task": task,
                }
            )


def abandon_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End those of a loop that runs no more."""
    for task in list(_alive):
        if task.loop is loop:
            task.abandon()


async def wait_ending_tasks() -> None:
    """Wait until those of the running loop that were ended run no more."""
    loop = asyncio.get_running_loop()
    for task in [task for task in _alive if task.loop is loop and task.is_ending]:
        await task.wait_ended()
