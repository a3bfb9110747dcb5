"""Those who wait for room, in the order in which they came, and for other changes."""

import asyncio
from collections.abc import Callable

from busduct.errors import ClosedError

__all__ = ["Turns"]


class Turns:
    """Lets coroutines try again whenever something has changed.

    Attributes:
        num_waiting: Calls of `take` under way.
        is_over: Whether nothing changes any more.
    """

    def __init__(self) -> None:
        self.num_waiting = 0
        self.is_over = False
        self._first = asyncio.Lock()
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Let those who wait now try again."""
        self._changed.set()
        self._changed.clear()

    async def take(self, attempt: Callable[[], int | None]) -> int:
        """Wait until `attempt`, which is tried in turn, gives something; return that.

        Raises:
            Exception: What `attempt` raises.
        """
        self.num_waiting += 1
        try:
            async with self._first:
                while (taken := attempt()) is None:
                    await self._changed.wait()
                return taken
        finally:
            self.num_waiting -= 1

    async def until(self, is_so: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `is_so`; whether it was, within `timeout` seconds.

        Raises:
            ClosedError: It is not, and it is over.
        """
        try:
            async with asyncio.timeout(timeout):
                while not is_so():
                    if self.is_over:
                        raise ClosedError("queue")
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
