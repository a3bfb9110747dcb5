"""The loop and the process that a producer belongs to."""

import asyncio
import os
from asyncio import _get_running_loop

from busduct.errors import ClosedError, ForkedError, LocalProtocolError

__all__ = ["Owner"]


class Owner:
    """The running loop, until `close`.

    Raises:
        RuntimeError: No loop is running.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._pid = os.getpid()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._loop is None

    def check(self) -> None:
        """Refuse what it does not permit.

        Raises:
            ClosedError: It was closed.
            ForkedError: This is a forked child.
            LocalProtocolError: This is not its loop.
        """
        # NB: no loop is running, as far as a forked child is told.
        if _get_running_loop() is not self._loop or self._loop is None:
            self._refuse()

    def close(self) -> None:
        """Permit nothing more."""
        self._loop = None

    def _refuse(self) -> None:
        if self._loop is None:
            raise ClosedError("queue")
        if self._pid != os.getpid():
            raise ForkedError
        msg = "queue belongs to another event loop"
        raise LocalProtocolError(msg)
