"""Hear of a socket that has something to be received, without a task."""

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Watch"]


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

    @property
    def is_armed(self) -> bool:
        """Whether it is going to call back."""
        return self._future is not None

    def arm(self) -> None:
        """Call back when the socket is readable, if it is now, soon. Idempotent.

        Raises:
            ClosedError: The socket is closed.
        """
        if self._future is not None:
            return
        waiting = self._socket.wait_readable().__await__()
        try:
            # What a task would wait for, and is as good without one.
            future = next(waiting)
        except StopIteration:
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
