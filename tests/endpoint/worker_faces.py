"""A worker in this process, with transports that a test can fill and look into."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from tests.endpoint.http_server import Peer

from busduct.endpoint._worker import Worker
from busduct.endpoint.config import HTTPClientConfig
from busduct.errors import FullError
from busduct.messages import Query, QueryResult, StreamChunk

Item = QueryResult | StreamChunk


class Wire:
    """The connector, the receiver and the sender of one worker."""

    def __init__(self) -> None:
        self.sent: list[Item] = []
        self.room = 1 << 30
        self.has_room = asyncio.Event()
        self.num_advanced = 0
        self.is_ready = False
        self.is_closed = False
        self.refusal: Exception | None = None
        self._items: deque[Query | str] = deque()
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def connect(self, worker_id: int) -> AsyncIterator[tuple["Wire", "Wire"]]:
        self.is_ready = True
        yield self, self

    def put(self, *items: Query | str) -> None:
        self._items.extend(items)
        self._changed.set()

    @property
    def num_untaken(self) -> int:
        return len(self._items)

    def poll(self) -> Query | str | None:
        return self._items.popleft() if self._items and not self.is_closed else None

    async def recv(self) -> Query | str | None:
        while not self._items and not self.is_closed:
            self._changed.clear()
            await self._changed.wait()
        return self.poll()

    def close(self) -> None:
        self.is_closed = True
        self._changed.set()

    def send(self, item: Item) -> None:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        if self.room <= 0:
            limit = "0 messages"
            raise FullError(limit)
        self.room -= 1
        self.sent.append(item)

    def advance(self) -> None:
        self.num_advanced += 1

    def results(self) -> list[QueryResult]:
        return [item for item in self.sent if isinstance(item, QueryResult)]

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Tell how each query ended, in that order."""
        return [
            (each.id, each.error and each.error.error_type) for each in self.results()
        ]

    def chunks(self) -> list[StreamChunk]:
        return [item for item in self.sent if isinstance(item, StreamChunk)]

    async def result(self, query_id: str = "") -> QueryResult:
        """Wait for the result of a query, by default for any."""
        async with asyncio.timeout(20.0):
            while True:
                for item in self.results():
                    if item.id == query_id or not query_id:
                        return item
                await asyncio.sleep(0.001)


class WaitingWire(Wire):
    """One that can be waited for until it has room."""

    def give_room(self, count: int) -> None:
        self.room += count
        self.has_room.set()

    async def asend(self, item: Item) -> None:
        while self.room <= 0:
            self.has_room.clear()
            await self.has_room.wait()
        self.send(item)


@contextlib.asynccontextmanager
async def working(
    url: str, wire: Wire | None = None, worker_id: int = 0, **settings: Any
) -> AsyncIterator[Wire]:
    """Run a worker towards a URL, with 4 connections unless told otherwise."""
    wire = wire or Wire()
    config = HTTPClientConfig(
        **{
            "endpoint_urls": (url,),
            "num_workers": 1,
            "max_connections": 4,
            "warmup_connections": 0,
            "max_retries": 0,
            **settings,
        }
    )
    worker = Worker(worker_id, wire, config, wire)  # type: ignore[arg-type]
    running = asyncio.create_task(worker.run())
    try:
        yield wire
    finally:
        worker.stop()
        await asyncio.wait_for(running, 20.0)


def ask(query_id: str = "1", **data: Any) -> Query:
    """Return a query of a chat."""
    headers = data.pop("headers", {})
    return Query(id=query_id, data={"prompt": "hi", **data}, headers=headers)


def answer(text: str = "hello") -> bytes:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return head + b"%d\r\n\r\n%b" % (len(body), body)


def event(text: str | None, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]}).encode()


async def say_hello(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.write(answer())


def texts(result: Any) -> Any:
    return None if result.response_output is None else result.response_output.output
