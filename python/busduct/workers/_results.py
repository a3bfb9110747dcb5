"""Results and chunks that wait for whoever polls for them."""

import asyncio
from collections import deque

from busduct.workers._ledger import Item

__all__ = ["ResultQueue"]


class ResultQueue:
    """A queue of what came, on one event loop.

    Not bounded by itself: whoever fills it waits with `wait_room`.

    Args:
        loop: Whose tasks wait.
        limit: Items beyond which there is no room.

    Attributes:
        is_paused: There is no room, however few wait here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._items: deque[Item] = deque()
        self._receivers: list[asyncio.Future[None]] = []
        self._room: asyncio.Future[None] | None = None
        self._ended = False
        self.is_paused = False
        self.append = self._items.append

    def __len__(self) -> int:
        return len(self._items)

    def wake(self) -> None:
        """Let those that wait look again; to be called after `append`."""
        if not self._receivers:
            return
        receivers, self._receivers = self._receivers, []
        for receiver in receivers:
            if not receiver.done():
                receiver.set_result(None)

    def end(self) -> None:
        """Say that nothing will be appended any more. Idempotent."""
        self._ended = True
        self.wake()

    def poll(self) -> Item | None:
        """Take the next; None if there is none."""
        if not self._items:
            return None
        item = self._items.popleft()
        if self._room is not None:
            self._note_room()
        return item

    def drain(self, max_n: int | None) -> list[Item]:
        """Take up to `max_n` items; None for all."""
        items = self._items
        num_taken = len(items) if max_n is None else min(max_n, len(items))
        taken = [items.popleft() for _ in range(num_taken)]
        if self._room is not None:
            self._note_room()
        return taken

    async def recv(self) -> Item | None:
        """Take the next, waiting for it; None once nothing is left and none will come.

        Cancelled, it has taken nothing.
        """
        while not self._items:
            if self._ended:
                return None
            # One each: who is cancelled cancels what it waits for.
            receiver = self._loop.create_future()
            self._receivers.append(receiver)
            await receiver
        return self.poll()

    @property
    def is_over_limit(self) -> bool:
        """Whether more waits than should."""
        return self.is_paused or len(self._items) > self._limit

    async def wait_room(self) -> None:
        """Wait, once over the limit, until half of it is taken, or for `make_room`.

        One task at a time.
        """
        self._room = self._loop.create_future()
        await self._room

    def make_room(self) -> None:
        """End the waiting of `wait_room`."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _note_room(self) -> None:
        if len(self._items) <= self._limit // 2 and not self.is_paused:
            self.make_room()
