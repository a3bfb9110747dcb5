"""The pool's socket for readiness, and those who wait for it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct.errors import ClosedError, LocalProtocolError, WorkersNotReadyError
from busduct.transport.pool._readiness import WorkerReadiness
from busduct.transport.pool._shared_wait import SharedWait

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["ReadyChannel"]


class ReadyChannel:
    """Take in what workers say on a PULL socket when they are ready.

    Args:
        socket: Bound by the caller, who closes it.
        num_workers: How many there are.

    Attributes:
        readiness: What they have said so far.
    """

    def __init__(self, socket: "Socket", num_workers: int) -> None:
        self.readiness = WorkerReadiness(num_workers)
        self._socket = socket
        self._news = SharedWait(self._take_news)

    async def wait_all(self, timeout: float | None) -> None:
        """Wait until all are ready; may be called again after a timeout.

        Raises:
            ClosedError: The socket is closed.
            WorkersNotReadyError: They are not ready in time.
        """
        self._require_open()
        try:
            async with asyncio.timeout(timeout):
                await self._news.until(lambda: self.readiness.is_complete)
        except TimeoutError as error:
            # NB: without a timeout, it was raised by somebody else.
            if timeout is None:
                raise
            if self.readiness.is_complete:
                return
            raise WorkersNotReadyError(
                timeout, len(self.readiness.ready), self.readiness.missing
            ) from error

    async def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what they have said.

        Raises:
            ClosedError: The socket is closed.
        """
        self._require_open()
        await self._news.until(holds)

    def refresh(self) -> None:
        """Take in what has come, unless somebody is about to."""
        if not self._news.is_led and not self._socket.closed:
            self._drain()

    def _require_open(self) -> None:
        if self._socket.closed:
            raise ClosedError("pool")
        self.refresh()

    async def _take_news(self) -> None:
        await self._socket.wait_readable()
        self._drain()

    def _drain(self) -> None:
        while self._socket.readable:
            try:
                payload = self._socket.recv_nowait()
            except LocalProtocolError:
                self._socket.recv_multipart_nowait()
                payload = b""
            if payload is not None:
                self.readiness.note(payload)
