"""A client that needs no endpoint: it answers as it is told to."""

import asyncio
from collections import deque
from collections.abc import Callable

from busduct.errors import FullError
from busduct.messages import Query, QueryResult, StreamChunk

Item = QueryResult | StreamChunk


class StandInClient:
    """Answers each query with what `answer` says, and when.

    Args:
        answer: Gives pairs of seconds after the query was issued and what comes then.
        max_queued: Queries under way at most.
    """

    def __init__(
        self,
        answer: Callable[[Query], list[tuple[float, Item]]],
        max_queued: int = 1 << 20,
    ) -> None:
        self._answer = answer
        self._max_queued = max_queued
        self._items: deque[Item] = deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self.issued: list[Query] = []
        self.num_in_flight = 0
        self.most_in_flight = 0

    def issue(self, query: Query) -> None:
        if self.num_in_flight >= self._max_queued:
            raise FullError(f"{self._max_queued} queries")
        self.issued.append(query)
        self.num_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.num_in_flight)
        loop = asyncio.get_running_loop()
        for delay, item in self._answer(query):
            if delay:
                loop.call_later(delay, self._put, item)
            else:
                self._put(item)

    def drain(self, max_n: int | None = None) -> list[Item]:
        count = len(self._items) if max_n is None else min(max_n, len(self._items))
        return [self._items.popleft() for _ in range(count)]

    async def recv(self) -> Item | None:
        while not self._items and not self._is_closed:
            self._news.clear()
            await self._news.wait()
        return self._items.popleft() if self._items else None

    async def shutdown_async(self) -> None:
        self.close()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    def _put(self, item: Item) -> None:
        if isinstance(item, QueryResult):
            self.num_in_flight -= 1
        self._items.append(item)
        self._news.set()


def succeed_after(seconds: float) -> Callable[[Query], list[tuple[float, Item]]]:
    return lambda query: [(seconds, QueryResult(id=query.id))]
