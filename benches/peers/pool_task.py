"""A peer of the worker-pool benchmark, and what is measured of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

# Messages under way in one process, and between two if they are small.
WINDOW = 1000
# Between two processes mlcommons/endpoints is fastest with as much of 32 KiB each; both
# are slower with 16 MiB, which no cache holds.
MAX_UNDER_WAY = 2 << 20
KINDS = ("Query", "QueryResult", "StreamChunk")
READY_S = 30.0


async def send_each(sender: Any, messages: Sequence[Any]) -> None:
    """Send by a plain call, as senders of a pool do."""
    for message in messages:
        sender.send(message)


class PoolSender:
    """The sender of queries to worker 0."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def send(self, query: Any) -> None:
        """Send as a caller of the pool does."""
        self._pool.send(0, query)


@dataclass(frozen=True)
class System:
    """A peer.

    Attributes:
        name: Its module, for the worker process to import.
        messages: Has Query, QueryResult, StreamChunk and TextModelOutput.
        make_pool: From the loop and the number of workers; None without a pool.
        ends: None for those of the pool; else gives sender and receiver of a kind.
        send_all: How it sends several messages.
    """

    name: str
    messages: Any
    make_pool: Callable[[asyncio.AbstractEventLoop, int], Any] | None = None
    ends: Callable[[str], Any] | None = None
    send_all: Callable[[Any, Sequence[Any]], Awaitable[None]] = send_each

    @contextlib.asynccontextmanager
    async def both_ends(self, kind: str) -> AsyncIterator[tuple[Any, Any]]:
        """Give a sender of messages of a kind and their receiver, in this process."""
        if self.ends is not None:
            async with self.ends(kind) as ends:
                yield ends
            return
        with self.pool(1) as pool:
            async with pool.worker_connector.connect(0) as (queries, results):
                await pool.wait_for_workers_ready(timeout=READY_S)
                outward = PoolSender(pool), queries
                yield outward if kind == "Query" else (results, pool)

    @contextlib.contextmanager
    def pool(self, num_workers: int) -> Iterator[Any]:
        """Give a pool and close it after the block."""
        assert self.make_pool is not None
        pool = self.make_pool(asyncio.get_running_loop(), num_workers)
        try:
            yield pool
        finally:
            pool.cleanup()


@dataclass(frozen=True)
class Task:
    """One measurement, as the runner asked for it."""

    kind: str
    nchars: int
    seconds: float
    outstanding: int
    text: str = field(repr=False, default="")

    @property
    def window(self) -> int:
        """Messages under way between two processes: 2 MiB of them, but 16 to 1000."""
        return max(16, min(WINDOW, MAX_UNDER_WAY // self.nchars))

    def make(self, system: System, kind: str, index: int) -> Any:
        """Return a message of a kind that can be told from others."""
        text = f"{index:08}"[-self.nchars :] + self.text[8:]
        made = system.messages
        if kind == "Query":
            data = {"prompt": text, "model": "m", "stream": False}
            headers = {"Content-Type": "application/json"}
            return made.Query(id=str(index), data=data, headers=headers)
        if kind == "QueryResult":
            output = made.TextModelOutput(output=text)
            return made.QueryResult(id=str(index), response_output=output)
        return made.StreamChunk(id=str(index), response_chunk=text)

    def some(self, system: System, kind: str, count: int) -> list[Any]:
        """Return messages to send again and again."""
        return [self.make(system, kind, index) for index in range(count)]

    def check(self, system: System, kind: str, index: int, received: Any) -> None:
        """Compare a message with what was sent.

        Raises:
            ValueError: It is another one, or damaged.
        """
        sent = self.make(system, kind, index)
        if content(kind, received) != content(kind, sent):
            msg = f"{kind} {index} of {self.nchars} characters did not arrive as sent"
            raise ValueError(msg)


def content(kind: str, message: Any) -> tuple[Any, ...]:
    """Return what a message carries, without times that its receiver sets."""
    if kind == "Query":
        return type(message), message.id, message.data, message.headers
    if kind == "QueryResult":
        return type(message), message.id, message.response_output.output, message.error
    return type(message), message.id, message.response_chunk
