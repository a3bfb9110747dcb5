"""A pool without sockets or processes, for tests of what stands above it."""

import asyncio
from collections import deque
from typing import Any

from busduct.errors import FullError
from busduct.messages import Query, QueryResult, StreamChunk


class FakePool:
    """Keeps what each worker is sent, and gives what a test says they send."""

    def __init__(self, num_workers: int, capacity: int = 1 << 30) -> None:
        self.sent: list[list[Query]] = [[] for _ in range(num_workers)]
        self.cancelled: list[tuple[int, str]] = []
        self.capacity = capacity
        self.error: Exception | None = None
        self.refused: dict[str, Exception] = {}
        self.drain_error: Exception | None = None
        self.gone: dict[int, asyncio.Event] = {}
        self._responses: deque[Any] = deque()
        self._readable = asyncio.Event()
        self._changed = asyncio.Event()
        self.num_waits = 0
        self.num_waiting = 0
        self._open = True

    def send(self, worker_id: int, query: Query) -> None:
        if (error := self.refused.get(query.id, self.error)) is not None:
            raise error
        if len(self.sent[worker_id]) >= self.capacity:
            limit = f"{self.capacity} messages"
            raise FullError(limit)
        self.sent[worker_id].append(query)

    async def wait_writable(self, worker_id: int) -> bool:
        self.num_waits += 1
        self.num_waiting += 1
        try:
            while self._open and len(self.sent[worker_id]) >= self.capacity:
                await self._changed.wait()
        finally:
            self.num_waiting -= 1
        return self._open

    def make_room(self, worker_id: int) -> None:
        """Have a worker take what it was sent."""
        self.sent[worker_id].clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def cancel(self, worker_id: int, query_id: str) -> None:
        self.cancelled.append((worker_id, query_id))

    def answer(self, *items: QueryResult | StreamChunk) -> None:
        self._responses.extend(items)
        self._readable.set()

    def answer_id(self, query_id: str) -> None:
        self.answer(QueryResult(id=query_id))

    def drain(self, max_n: int | None = None) -> list[Any]:
        if self.drain_error is not None:
            error, self.drain_error = self.drain_error, None
            raise error
        count = len(self._responses)
        if max_n is not None:
            count = min(max_n, count)
        taken = [self._responses.popleft() for _ in range(count)]
        if not self._responses and self._open:
            self._readable.clear()
        return taken

    async def wait_readable(self) -> bool:
        await self._readable.wait()
        return self._open

    async def wait_worker_gone(self, worker_id: int) -> None:
        if (event := self.gone.get(worker_id)) is not None:
            await event.wait()

    def cleanup(self) -> None:
        self._open = False
        self._readable.set()
        self._changed.set()
