"""The end of one query, for the task that waits for it."""

import asyncio

from busduct._waking import Waker
from busduct.messages import QueryResult, StreamChunk

__all__ = ["Reply"]


class Reply:
    """Keeps the result of a query, and passes over its chunks.

    Made in the loop where it is waited for.
    """

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._result: QueryResult | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, item: StreamChunk | QueryResult) -> None:
        """Take what came, in the thread of the client's loop."""
        if isinstance(item, QueryResult):
            self._result = item
            self._waker.wake(self._ended)

    async def wait(self) -> QueryResult:
        """Wait for the result."""
        await self._ended
        assert self._result is not None
        return self._result
