"""The client of inference endpoints: worker processes do its HTTP."""

import asyncio
import os
import sys
import uuid
import warnings
from typing import Self

import msgspec

from busduct._loop_thread import is_running_in
from busduct._scopes import AsyncScope, Scope
from busduct.endpoint._lifetime import Lifetime
from busduct.endpoint._query_errors import error_of
from busduct.endpoint._reply import Reply
from busduct.endpoint._stream import ChunkBuffer, QueryStream
from busduct.endpoint.config import HTTPClientConfig
from busduct.errors import (
    ClosedError,
    ForkedError,
    LocalProtocolError,
)
from busduct.messages import Query, QueryResult, StreamChunk
from busduct.statistics import EndpointClientStatistics
from busduct.workers import WorkerManager

__all__ = ["HTTPEndpointClient"]

# In the data of a query: give all its chunks, whatever `stream_all_chunks` says.
ALL_CHUNKS = {"stream": True, "_stream_all_chunks": True}


class HTTPEndpointClient(Scope, AsyncScope):
    """Asks inference endpoints over HTTP, through worker processes.

    Each query that is accepted ends exactly once: with an answer, or with an
    `ErrorData` in its `QueryResult`, also if the worker that has it is killed.

    Two ways, side by side: `issue`, whose results come in any order by `poll`, `drain`,
    `recv` or `recv_blocking`; and `request` and `stream`, which keep to their query.
    All but the constructor and `shutdown` may be called from any thread, and the
    coroutines awaited in any loop.

    Args:
        config: With one of `endpoint_urls` at least.
        loop: Runs in another thread and is to look after the workers; None for a loop
            (uvloop's if it is installed) in a thread of the client's own. From the
            loop's own thread, use `create`.

    Attributes:
        config: As given.
        client_id: Tells it from others in logs.
        loop: Where the workers are looked after.

    Raises:
        ConfigError: No URL, or an adapter that cannot be imported.
        WorkerStartError: A worker ended before it was ready.
        WaitTimeoutError: One was not ready in time.
        LocalProtocolError: Called by `loop`, or it does not run.
    """

    def __init__(
        self, config: HTTPClientConfig, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        client_id = uuid.uuid4().hex[:8]
        name = f"busduct-client-{client_id}"
        self._set_up(config, client_id, Lifetime.start(config, name, loop))

    @classmethod
    async def create(
        cls, config: HTTPClientConfig, loop: asyncio.AbstractEventLoop | None = None
    ) -> Self:
        """Make a client whose workers the running loop looks after.

        Args:
            config: With one of `endpoint_urls` at least.
            loop: The running one, for those who like to name it.

        Raises:
            ConfigError: No URL, or an adapter that cannot be imported.
            WorkerStartError: A worker ended before it was ready.
            WaitTimeoutError: One was not ready in time.
            LocalProtocolError: Another loop than the running one.
        """
        if loop is not None and not is_running_in(loop):
            msg = (
                "create is for the running loop; else HTTPEndpointClient(config, loop)"
            )
            raise LocalProtocolError(msg)
        lifetime = await Lifetime.start_here(config)
        self = cls.__new__(cls)
        self._set_up(config, uuid.uuid4().hex[:8], lifetime)
        return self

    def _set_up(
        self, config: HTTPClientConfig, client_id: str, lifetime: Lifetime
    ) -> None:
        self.config = config
        self.client_id = client_id
        self.loop = lifetime.loop
        self._lifetime = lifetime
        self._core = lifetime.core
        self._results = lifetime.core.results
        self._put_result = lifetime.core.results.put
        self._pid = os.getpid()

    @property
    def worker_manager(self) -> WorkerManager:
        """The worker processes, for a look at them."""
        return self._core.manager

    @property
    def dropped(self) -> int:
        """Queries that were issued after the shutdown, and so to nobody."""
        return self._core.num_dropped

    def issue(self, query: Query) -> None:
        """Send a query; what comes of it is for `poll`, `drain` and `recv`.

        Never blocks, and keeps the order of each thread. After the shutdown it only
        counts, in `dropped`.

        Raises:
            FullError: `max_queued` queries are under way.
            LocalProtocolError: A query of that id is under way.
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        if self._core.is_closed:
            self._core.drop()
        else:
            self._core.submit(query, self._put_result)

    def poll(self) -> QueryResult | StreamChunk | None:
        """Take the next result or chunk; None if there is none yet.

        Raises:
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        item = self._results.poll()
        if item is None:
            self._core.poll_workers()
            item = self._results.poll()
        return item

    def drain(self, max_n: int | None = None) -> list[QueryResult | StreamChunk]:
        """Take what there is, the oldest first, `max_n` at most.

        Raises:
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        self._core.poll_workers()
        return self._results.drain(max_n)

    async def recv(self) -> QueryResult | StreamChunk | None:
        """Wait for the next result or chunk; None once shut down and nothing is left.

        Cancelling it loses none.

        Raises:
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        return await self._results.recv()

    def recv_blocking(
        self, timeout: float | None = None
    ) -> QueryResult | StreamChunk | None:
        """Do what `recv` does, in a thread without a loop.

        Args:
            timeout: Seconds; None for no end.

        Raises:
            WaitTimeoutError: None came in time.
            LocalProtocolError: Called by the client's loop, which it would block.
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        if is_running_in(self.loop):
            msg = "this loop would wait for itself; use await client.recv()"
            raise LocalProtocolError(msg)
        return self._results.recv_blocking(timeout)

    async def request(
        self, query: Query, *, raise_on_error: bool = False
    ) -> QueryResult:
        """Send a query and wait for its end; chunks are not given.

        Cancelling it cancels the HTTP request.

        Args:
            query: Its `timeout` bounds this too.
            raise_on_error: Raise what ended the query, instead of returning it.

        Raises:
            QueryError: The query failed, if that is to be raised; `QueryTimeoutError`
                for its deadline.
            ClosedError: The client is shut down.
            FullError: `max_queued` queries are under way.
            LocalProtocolError: A query of that id is under way.
            ForkedError: The client belongs to the parent process.
        """
        self._check_open()
        reply = Reply(self._core.waker)
        self._core.submit(query, reply.put)
        try:
            result = await reply.wait()
        except asyncio.CancelledError:
            self._core.cancel(query.id)
            raise
        if raise_on_error and result.error is not None:
            raise error_of(result)
        return result

    def stream(self, query: Query) -> QueryStream:
        """Send a query, streamed; return its chunks, which end with its `result`.

        All chunks come, whatever `stream_all_chunks` says.

        Raises:
            ClosedError: The client is shut down.
            FullError: `max_queued` queries are under way.
            LocalProtocolError: A query of that id is under way.
            ForkedError: The client belongs to the parent process.
        """
        self._check_open()
        streamed = msgspec.structs.replace(query, data={**query.data, **ALL_CHUNKS})
        buffer = ChunkBuffer(self._core.waker)
        self._core.submit(streamed, buffer.put)
        return QueryStream(query.id, buffer, self._core.cancel_later)

    def cancel(self, query_id: str) -> bool:
        """End a query now: its HTTP request is closed, its error is ``cancelled``.

        Returns:
            False if none of that id is under way. True does not say that it did not
            succeed in the meantime; its `QueryResult` does.

        Raises:
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        return self._core.cancel(query_id)

    def stats(self) -> EndpointClientStatistics:
        """Return what it did so far, and how it stands."""
        return self._core.stats()

    def shutdown(self) -> None:
        """End all queries and workers, and block until that is done. Idempotent.

        Queries under way end with ``shutdown``. What was not taken can still be.

        Raises:
            LocalProtocolError: Called by the client's loop; use `shutdown_async`.
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        self._lifetime.stop()

    async def shutdown_async(self) -> None:
        """Do what `shutdown` does, without blocking. Cancelling it does not undo it.

        Raises:
            ForkedError: The client belongs to the parent process.
        """
        self._check_process()
        await self._lifetime.stop_async()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError

    def _check_open(self) -> None:
        self._check_process()
        if self._core.is_closed:
            raise ClosedError("client")

    def close(self) -> None:
        """Do what `shutdown` does, at the end of a ``with`` block."""
        self.shutdown()

    async def aclose(self) -> None:
        """Do what `shutdown_async` does, at the end of an ``async with`` block."""
        await self.shutdown_async()

    def __del__(self) -> None:
        lifetime = getattr(self, "_lifetime", None)
        if lifetime is None or lifetime.is_ending or os.getpid() != self._pid:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        if not sys.is_finalizing() and not self.loop.is_closed():
            lifetime.begin_stop()
