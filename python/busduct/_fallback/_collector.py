"""Whose message comes next: peers that have some take turns."""

from collections import deque

from busduct._fallback._link import Link
from busduct._fallback._waiting import WaitQueue

__all__ = ["Collector"]


class Collector:
    """The links of a socket that have messages to take.

    Attributes:
        waiters: Who waits for a message.
    """

    def __init__(self) -> None:
        self._ready: deque[Link] = deque()
        self.waiters = WaitQueue()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, link: Link) -> None:
        """Note that a link has messages; wake one that waits."""
        if not link.is_ready:
            link.is_ready = True
            self._ready.append(link)
        self.waiters.wake()

    def peek(self) -> list[bytes] | None:
        """Return the message that `take` would take."""
        return self._ready[0].inbox[0] if self._ready else None

    def take(self) -> tuple[Link, list[bytes]] | None:
        """Take the next message; its peer goes to the end of the line."""
        if not self._ready:
            return None
        link = self._ready.popleft()
        message = link.pop()
        if link.inbox:
            self._ready.append(link)
        else:
            link.is_ready = False
        if self._ready:
            self.waiters.wake()
        return link, message

    def clear(self) -> None:
        """Forget what there is to take."""
        for link in self._ready:
            link.is_ready = False
        self._ready.clear()
