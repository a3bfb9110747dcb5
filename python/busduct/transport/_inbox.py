"""What a subscriber has ready to be taken, bounded by messages and bytes."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from busduct.errors import ClosedError
from busduct.transport._reordering import Item, Record
from busduct.transport._replay_ring import RECORD_OVERHEAD

__all__ = ["Inbox"]


class Inbox:
    """A queue between the tasks that fill it and the caller who empties it.

    What is put is taken in whole; who fills it then waits until it is below its marks.

    Args:
        max_items: The mark of items.
        max_bytes: The mark of payload bytes, and 96 for each item.
        on_filled: Called whenever there are items where there were none, and at its
            end.

    Attributes:
        is_closed: Whether nothing comes any more.
        num_blocked: Times that somebody who fills it had to wait.
    """

    def __init__(
        self,
        max_items: int,
        max_bytes: int,
        on_filled: Callable[[], None] | None = None,
    ) -> None:
        self.num_blocked = 0
        self._on_filled = on_filled
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._nbytes = 0
        self.is_closed = False
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def nbytes(self) -> int:
        """Payload bytes held, and 96 for each item."""
        return self._nbytes

    @property
    def is_full(self) -> bool:
        """Whether it is at a mark."""
        return len(self._items) >= self._max_items or self._nbytes >= self._max_bytes

    def put(self, items: Sequence[Item]) -> None:
        """Add items, whatever the marks say."""
        if not items:
            return
        was_empty = not self._items
        self._items.extend(items)
        self._nbytes += sum(map(_cost, items))
        self._filled.set()
        if self.is_full:
            self._has_room.clear()
        if was_empty and self._on_filled is not None:
            self._on_filled()

    async def wait_room(self) -> None:
        """Wait until it is below its marks, or closed. Cancelling is safe."""
        if not self._has_room.is_set():
            self.num_blocked += 1
        await self._has_room.wait()

    def take(self) -> Item | None:
        """Take the first item; None if there is none."""
        if not self._items:
            return None
        item = self._items.popleft()
        self._nbytes -= _cost(item)
        if not self._items:
            self._filled.clear()
        if not self.is_full:
            self._has_room.set()
        return item

    async def wait_item(self) -> None:
        """Wait for an item; takes nothing. Cancelling is safe.

        Raises:
            ClosedError: It is closed.
        """
        while not self._items:
            if self.is_closed:
                raise ClosedError("subscriber")
            await self._filled.wait()

    def close(self) -> None:
        """Drop what it holds, and let go of everybody who waits. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self._items.clear()
        self._nbytes = 0
        self._filled.set()
        self._has_room.set()
        if self._on_filled is not None:
            self._on_filled()


def _cost(item: Item) -> int:
    payload = item.payload if isinstance(item, Record) else b""
    return len(payload) + RECORD_OVERHEAD
