"""Several tasks that wait for conditions, of which one at a time waits for news."""

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["SharedWait"]


class SharedWait:
    """Let tasks wait until conditions hold that change as news comes.

    News can be awaited by one task only, or wakes one only. Whoever came first awaits
    it; the others look again whenever it has come, or that task has given up.

    Args:
        take_news: Waits for news and takes it in; safe to cancel.
    """

    def __init__(self, take_news: Callable[[], Awaitable[None]]) -> None:
        self._take_news = take_news
        self._is_led = False
        self._followers: set[asyncio.Future[None]] = set()

    @property
    def is_led(self) -> bool:
        """Whether a task awaits news."""
        return self._is_led

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds. Cancelling is safe.

        Raises:
            Exception: What waiting for news raises.
        """
        while not holds():
            if self._is_led:
                await self._follow()
            else:
                await self._lead()

    async def _lead(self) -> None:
        self._is_led = True
        try:
            await self._take_news()
        finally:
            self._is_led = False
            for future in self._followers:
                if not future.done():
                    future.set_result(None)

    async def _follow(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._followers.add(future)
        try:
            await future
        finally:
            self._followers.discard(future)
