"""A descriptor that is readable from when it is rung until it is cleared."""

import math
import os
import select

__all__ = ["Bell", "wait_readable"]


class Bell:
    """Wakes whoever waits for its descriptor.

    Ringing and clearing are for whoever holds the lock of its owner.
    """

    __slots__ = ("_is_rung", "_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._is_rung = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._reader

    def ring(self) -> None:
        """Make it readable. Idempotent."""
        if not self._is_rung:
            self._is_rung = True
            os.write(self._writer, b"\0")

    def clear(self) -> None:
        """Make it readable no more. Idempotent."""
        if self._is_rung:
            self._is_rung = False
            os.read(self._reader, 1)

    def on_events(self, mask: int) -> None:
        """Clear it: whoever watches it is awake."""
        self.clear()

    def close(self) -> None:
        """Close its descriptors."""
        os.close(self._reader)
        os.close(self._writer)


def wait_readable(fd: int, timeout: float | None) -> None:
    """Block until a descriptor is readable, for at most so many seconds."""
    if timeout is not None:
        # A time that is over already must not become no bound.
        timeout = max(timeout, 0.0)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(None if timeout is None else math.ceil(timeout * 1000))
