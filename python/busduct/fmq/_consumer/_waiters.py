"""Tasks that wait for messages, first come first served."""

import asyncio
from collections import deque

__all__ = ["Waiters"]


class Waiters:
    """Who waits. A wake-up says "look again" and carries nothing.

    So a task that is cancelled just then loses nothing: the next is woken in its place.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._futures: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._futures)

    async def wait(self, *, again: bool) -> None:
        """Wait to be woken.

        Args:
            again: It was, in vain, and takes its place at the front.
        """
        future = self._loop.create_future()
        if again:
            self._futures.appendleft(future)
        else:
            self._futures.append(future)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():
                self.wake(1)
            elif future in self._futures:
                self._futures.remove(future)
            raise

    def wake(self, count: int) -> None:
        """Wake so many of them, or all there are."""
        while count > 0 and self._futures:
            future = self._futures.popleft()
            if not future.done():
                future.set_result(None)
                count -= 1
