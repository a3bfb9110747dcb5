"""Hear of a socket that has something to be received, without a task."""

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Watch", "next_future"]


class Watch:
    """Calls back when a socket is readable, once each time it is armed.

    What cancels all tasks of a loop does not end it, and it may be called off at any
    time, which costs next to nothing.

    Args:
        socket: Of the running loop.
        callback: Called in a turn of its own.
    """

    def __init__(self, socket: "Socket", callback: Callable[[], None]) -> None:
        self._socket = socket
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._waiting: Generator[Any, Any, None] | None = None
        self._future: asyncio.Future[None] | None = None

    def arm(self) -> None:
        """Call back when the socket is readable, if it is now, soon. Idempotent.

        Raises:
            ClosedError: The socket is closed.
        """
        if self._future is not None:
            return
        waiting = self._socket.wait_readable().__await__()
        future = next_future(waiting)
        if future is None:
            future = self._loop.create_future()
            future.set_result(None)
        else:
            self._waiting = waiting
        self._future = future
        future.add_done_callback(self._on_done)

    def disarm(self) -> None:
        """Do not call back. Idempotent."""
        if self._future is not None:
            self._future.remove_done_callback(self._on_done)
            self._forget()

    def _forget(self) -> None:
        self._future = None
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def _on_done(self, future: "asyncio.Future[None]") -> None:
        if future is self._future:
            self._forget()
            self._callback()


def next_future(
    waiting: "Generator[Any, Any, None]",
) -> "asyncio.Future[None] | None":
    """Go on with what an `__await__` gave; return what it has to wait for, if at all.

    Raises:
        Exception: What it raises.
    """
    future: asyncio.Future[None] | None = next(waiting, None)
    if future is not None:
        # What tells a task that this is for it to wait for; there may be none here.
        future._asyncio_future_blocking = False
    return future
