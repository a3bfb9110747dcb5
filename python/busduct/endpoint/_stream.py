"""The chunks of one streamed answer, as its caller takes them."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from io import StringIO

from busduct._scopes import AsyncScope
from busduct._waking import Waker
from busduct.endpoint._query_errors import error_of
from busduct.errors import LocalProtocolError
from busduct.messages import QueryResult, StreamChunk

__all__ = ["ChunkBuffer", "QueryStream"]

# Beyond so many untaken chunks, the text of the next is appended to the last one.
MAX_CHUNKS = 1024


class ChunkBuffer:
    """What came of a stream and was not taken; filled by one thread, emptied by one.

    Never longer than `MAX_CHUNKS` and, in text, than the answer is, which
    `max_body_bytes` bounds: a slow reader gets larger pieces, and loses nothing.

    Attributes:
        result: The end of it.
        waiter: Set when there is more; None while nobody waits.
    """

    def __init__(self, waker: Waker) -> None:
        self.result: QueryResult | None = None
        self.waiter: asyncio.Future[None] | None = None
        self._waker = waker
        self._chunks: deque[StreamChunk] = deque()
        # Text that follows the last of them.
        self._tail = StringIO()
        self._lock = threading.Lock()

    def put(self, item: StreamChunk | QueryResult) -> None:
        """Add what came."""
        with self._lock:
            if isinstance(item, QueryResult):
                self.result = item
            elif len(self._chunks) < MAX_CHUNKS or not self._is_like_last(item):
                self._close_tail()
                self._chunks.append(item)
            else:
                self._tail.write(item.response_chunk)
            waiter, self.waiter = self.waiter, None
        if waiter is not None:
            self._waker.wake(waiter)

    def take(self) -> StreamChunk | None:
        """Return the oldest chunk; None if there is none."""
        with self._lock:
            if len(self._chunks) == 1:
                self._close_tail()
            return self._chunks.popleft() if self._chunks else None

    def wait(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is set once there is something, perhaps already.

        Raises:
            LocalProtocolError: Somebody waits already.
        """
        with self._lock:
            if self.waiter is not None and not self.waiter.done():
                msg = "another task waits for the next chunk of this stream"
                raise LocalProtocolError(msg)
            future: asyncio.Future[None] = loop.create_future()
            if self._chunks or self.result is not None:
                future.set_result(None)
            else:
                self.waiter = future
        return future

    def _is_like_last(self, chunk: StreamChunk) -> bool:
        return chunk.metadata == self._chunks[-1].metadata

    def _close_tail(self) -> None:
        if not self._tail.tell():
            return
        last = self._chunks.pop()
        text = last.response_chunk + self._tail.getvalue()
        self._chunks.append(
            StreamChunk(id=last.id, response_chunk=text, metadata=last.metadata)
        )
        self._tail = StringIO()


class QueryStream(AsyncScope, AsyncIterator[StreamChunk]):
    """The chunks of one query: ``async for chunk in stream``, then `result`.

    A reader that falls more than 1,024 chunks behind gets the text of those that follow
    in one piece; none is lost. To give it up early, leave an ``async with`` block, call
    `aclose`, or drop the last reference to it: its HTTP request is then cancelled.
    """

    def __init__(
        self, query_id: str, buffer: ChunkBuffer, give_up: Callable[[str], object]
    ) -> None:
        self.query_id = query_id
        # NB: the client holds the buffer and not the stream, so that a stream that
        # nobody reads any more is collected, and so cancelled.
        self._buffer = buffer
        self._give_up = give_up
        self._is_open = True

    @property
    def result(self) -> QueryResult | None:
        """How the query ended, with the whole answer; None until it has."""
        return self._buffer.result

    async def __anext__(self) -> StreamChunk:
        """Wait for the next chunk. Cancelling it loses none, and not the stream.

        Raises:
            StopAsyncIteration: The answer is complete, or the stream was closed.
            QueryError: The query failed; once, after what had come of it.
            LocalProtocolError: Another task waits for the same.
        """
        loop = asyncio.get_running_loop()
        while self._is_open:
            if (chunk := self._buffer.take()) is not None:
                return chunk
            if (result := self._buffer.result) is not None:
                self._is_open = False
                if result.error is not None:
                    raise error_of(result)
                break
            await self._buffer.wait(loop)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it; if the answer is not complete, cancel the query. Idempotent."""
        self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            if self._buffer.result is None:
                self._give_up(self.query_id)

    def __del__(self) -> None:
        # An `async for` that is left by a break or an exception gets here.
        self._close()
