"""Work in the loop of another thread, and a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from busduct.errors import LocalProtocolError

__all__ = ["Job", "LoopThread", "is_running_in"]

T = TypeVar("T")

BEGIN_SECONDS = 5.0
GRACE_SECONDS = 0.1


class Job(Generic[T]):
    """A coroutine that runs in `loop`, whichever thread asks for it.

    Args:
        loop: Where.
        name: Of the task.
        make: Makes the coroutine, in the loop's thread.

    Attributes:
        future: What becomes of it.

    Raises:
        LocalProtocolError: The loop is closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        make: Callable[[], Coroutine[Any, Any, T]],
    ) -> None:
        self.future: Future[T] = Future()
        self._loop = loop
        self._name = name
        self._make = make
        self._begun = threading.Event()
        self._task: asyncio.Task[T]
        try:
            loop.call_soon_threadsafe(self._begin)
        except RuntimeError as error:
            msg = "the event loop is closed"
            raise LocalProtocolError(msg) from error

    def wait(self) -> T:
        """Block until it is done; it goes on if this is interrupted.

        Raises:
            LocalProtocolError: The loop does not run; the work was taken back.
        """
        # A loop that was only just started may not run yet.
        has_begun = self._begun.wait(BEGIN_SECONDS)
        if not has_begun and not self._loop.is_running() and self.future.cancel():
            msg = "the event loop must be running in its thread"
            raise LocalProtocolError(msg)
        return self.future.result()

    def cancel(self) -> None:
        """Cancel it, if it is not done."""
        if not self.future.done() and not self.future.cancel():
            self._loop.call_soon_threadsafe(self._task.cancel)

    def _begin(self) -> None:
        if self.future.set_running_or_notify_cancel():
            self._task = self._loop.create_task(self._make(), name=self._name)
            self._begun.set()
            self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


class LoopThread:
    """A thread that runs a loop, uvloop's where it is installed, until it is stopped.

    It is a daemon: a process that forgets to stop it can end nevertheless.

    Attributes:
        loop: Running.
        finished: Done when the loop is closed; unlike `join`, a coroutine can wait.
    """

    def __init__(self, name: str) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self.finished: Future[None] = Future()
        self._stop: asyncio.Event
        self._thread = threading.Thread(
            target=self._main, args=(started,), name=name, daemon=True
        )
        self._thread.start()
        self.loop = started.result()

    def stop(self) -> None:
        """Ask the loop to end; what is left of its tasks is cancelled. Idempotent."""
        if not self.finished.done():
            self.loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        """Wait until the thread is gone."""
        self._thread.join()

    def _main(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            self.finished.set_result(None)

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._stop = asyncio.Event()
        started.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        # Those in this loop that asked for the end get to see it.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=GRACE_SECONDS)


def is_running_in(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether `loop` calls the caller, who would block it for ever."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
