"""Where a process without an event loop sleeps until there is something to do."""

import os
import select
import signal
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from busduct.transport import Context

__all__ = ["Parking"]

RETRY_MS = 100


class Parking:
    """Wait for a context, for a request to end, or for the parent's end; no polling.

    Args:
        context: Whose sockets are waited for.
        parent_fd: The read end of a pipe that the parent holds open; None watches none.

    Attributes:
        ending: Somebody asked this process to end: finish what is under way first.
    """

    def __init__(self, context: "Context", parent_fd: int | None = None) -> None:
        self.ending = False
        self._context = context
        self._parent_fd = parent_fd
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(context.fileno(), select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        if parent_fd is not None:
            self._poll.register(parent_fd, select.POLLIN)

    def handle_signals(self) -> None:
        """Make SIGTERM set `ending`, and leave SIGINT to the parent.

        Only the parent knows what is still to be finished.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_terminate)

    def wait(self, connected: bool = True) -> None:
        """Return when there is something to do.

        Args:
            connected: No peer is awaited. While one is, this returns every 0.1 s: the
                descriptor of the pure-Python backend does not tell when it is time to
                connect again.

        Raises:
            SystemExit: The parent is gone.
        """
        for fd, _ in self._poll.poll(None if connected else RETRY_MS):
            if fd == self._wake_read:
                os.read(fd, 4096)
            elif fd == self._parent_fd and not os.read(fd, 4096):
                raise SystemExit(1)

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = True
        # A handler alone does not end a poll: Python goes on waiting after it.
        os.write(self._wake_write, b"\0")
