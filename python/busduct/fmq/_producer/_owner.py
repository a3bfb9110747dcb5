"""The loop and the process that a producer belongs to."""

import asyncio
import os
from asyncio import _get_running_loop

from busduct.errors import ClosedError, ForkedError, LocalProtocolError

__all__ = ["Owner"]


class Owner:
    """The running loop, until `close`.

    Attributes:
        loop: That one; None once it was closed.

    Raises:
        RuntimeError: No loop is running.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._pid = os.getpid()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.loop is None

    def check(self) -> None:
        """Refuse what it does not permit.

        Raises:
            ClosedError: It was closed.
            ForkedError: This is a forked child.
            LocalProtocolError: This is not its loop.
        """
        if self.loop is None:
            raise ClosedError("queue")
        # NB: no loop is running, as far as a forked child is told.
        if _get_running_loop() is self.loop:
            return
        if self._pid != os.getpid():
            raise ForkedError
        msg = "queue belongs to another event loop"
        raise LocalProtocolError(msg)

    def close(self) -> None:
        """Permit nothing more."""
        self.loop = None
