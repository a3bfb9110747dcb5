"""The part of the client that lives on its loop: queries in, ends of queries out."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from busduct._result_queue import ResultQueue
from busduct._waking import Waker
from busduct.endpoint._outbox import Outbox
from busduct.endpoint.config import HTTPClientConfig, load_class
from busduct.errors import ConfigError, EngineDeadError, FullError, LocalProtocolError
from busduct.messages import ErrorData, Query, QueryResult, StreamChunk
from busduct.statistics import EndpointClientStatistics, WorkerStatistics
from busduct.workers import WorkerManager

__all__ = ["ClientCore", "Put"]

Put = Callable[[StreamChunk | QueryResult], None]

logger = logging.getLogger(__name__)


class ClientCore:
    """Takes queries from any thread, and gives each result to whoever wants it.

    Made in the thread of `loop`. Nothing in here refers to the client, so that a client
    that is forgotten can be told from one in use.

    Args:
        config: As the client's.
        loop: Where workers are looked after.

    Attributes:
        results: Of the queries that were issued.
        is_closed: Nothing is accepted any more.

    Raises:
        ConfigError: No URL, an adapter that cannot be imported, or what the transport
            cannot do here.
    """

    def __init__(
        self, config: HTTPClientConfig, loop: asyncio.AbstractEventLoop
    ) -> None:
        if not config.endpoint_urls:
            msg = "endpoint_urls is empty; give at least one"
            raise ConfigError(msg)
        for path in (config.adapter, config.accumulator):
            load_class(path)
        self._config = config
        self._loop = loop
        self.thread_id = threading.get_ident()
        self.waker = Waker()
        self.results = ResultQueue(self.waker, self._on_flow)
        self.is_closed = False
        self.num_dropped = 0
        self._outbox: Outbox[Query | str] = Outbox(
            loop, self.thread_id, self._deliver, self._reject
        )
        # Who gets what comes of each query. NB: of its methods, only those that one
        # thread cannot see half done are used.
        self._under_way: dict[str, Put] = {}
        self._num_completed = 0
        self._failures: Counter[str] = Counter()
        self._num_results = [0] * config.num_workers
        self._drop_lock = threading.Lock()
        self.manager = WorkerManager(config, loop)

    async def start(self) -> None:
        """Start the workers, and wait until all are ready; failing, leave nothing.

        Raises:
            WorkerStartError: One ended before it was ready.
            WaitTimeoutError: One was not ready in `worker_initialization_timeout`.
        """
        await self.manager.initialize()

    async def stop(self) -> None:
        """End all queries and workers."""
        self.is_closed = True
        try:
            await self.manager.shutdown()
        finally:
            self._outbox.close()
            for query_id in list(self._under_way):
                self._fail(query_id, "shutdown", "the client was shut down")
            self.results.close()

    def submit(self, query: Query, put: Put) -> None:
        """Have `put` called with what comes of a query, its `QueryResult` last.

        Called in any thread; `put` is called in the loop's.

        Raises:
            LocalProtocolError: A query of that id is under way, or it is no query.
            FullError: `max_queued` queries are under way.
        """
        if not isinstance(query, Query):
            msg = f"expected a Query, got {type(query).__name__}"
            raise LocalProtocolError(msg)
        under_way = self._under_way
        if query.id in under_way:
            msg = f"a query of id {query.id!r} is under way"
            raise LocalProtocolError(msg)
        if len(under_way) >= self._config.max_queued:
            raise FullError(f"{self._config.max_queued} queries")
        under_way[query.id] = put
        self._outbox.post(query)

    def cancel(self, query_id: str) -> bool:
        """Have a query end now; from any thread. False if it is not under way."""
        if query_id not in self._under_way:
            return False
        self._outbox.post(query_id)
        return True

    def cancel_later(self, query_id: str) -> None:
        """Have a query end soon, if it is under way; from any thread and finalizer."""
        if query_id in self._under_way:
            self._outbox.post_later(query_id)

    def drop(self) -> None:
        """Count a query that was not accepted; from any thread."""
        with self._drop_lock:
            self.num_dropped += 1

    def poll_workers(self) -> None:
        """Take what workers have sent, if this is the loop's thread.

        For callers that poll there without ever going back to the loop.
        """
        if threading.get_ident() == self.thread_id and self.results.is_flowing:
            self.manager.dispatcher.poll()

    def stats(self) -> EndpointClientStatistics:
        """Return the counters; from any thread."""
        dispatched = self.manager.dispatcher.stats()
        workers = tuple(
            WorkerStatistics(
                worker_id=worker.worker_id,
                pid=worker.pid,
                is_ready=worker.worker_id in dispatched.ready_workers,
                num_restarts=worker.num_restarts,
                num_results=self._num_results[worker.worker_id],
            )
            for worker in self.manager.workers
        )
        num_failed = self._failures.total()
        num_in_flight = len(self._under_way)
        return EndpointClientStatistics(
            num_issued=self._num_completed + num_failed + num_in_flight,
            num_completed=self._num_completed,
            num_failed=num_failed,
            failures=dict(self._failures),
            num_in_flight=num_in_flight,
            num_untaken=len(self.results),
            num_dropped=self.num_dropped,
            num_resent=dispatched.num_resent,
            num_late=dispatched.num_late,
            num_restarts=sum(worker.num_restarts for worker in workers),
            workers=workers,
        )

    def _deliver(self, item: Query | str) -> None:
        dispatcher = self.manager.dispatcher
        if isinstance(item, str):
            dispatcher.cancel(item)
            return
        try:
            # How many may wait is bounded here, by `max_queued`.
            dispatcher.submit(item, self._take, wait=True)
        except EngineDeadError as error:
            self._fail(item.id, "worker_died", str(error))
        except Exception as error:
            # Whatever it is, the query must end.
            self._fail(item.id, "request", str(error))

    def _reject(self, item: Query | str) -> None:
        if isinstance(item, Query):
            self._fail(item.id, "shutdown", "the client was shut down")

    def _take(self, item: StreamChunk | QueryResult) -> None:
        """Pass on what came of a query."""
        if isinstance(item, QueryResult):
            self._end(item)
        elif (put := self._under_way.get(item.id)) is not None:
            put(item)

    def _end(self, result: QueryResult) -> None:
        put = self._under_way.pop(result.id, None)
        if put is None:
            return
        if result.error is None:
            self._num_completed += 1
        else:
            self._failures[result.error.error_type] += 1
        worker_id = result.metadata.get("worker_id")
        # NB: a worker may be somebody else's program.
        if type(worker_id) is int and 0 <= worker_id < len(self._num_results):
            self._num_results[worker_id] += 1
        put(result)

    def _fail(self, query_id: str, error_type: str, message: str) -> None:
        error = ErrorData(error_type=error_type, error_message=message)
        self._end(QueryResult(id=query_id, error=error))

    def _on_flow(self) -> None:
        if threading.get_ident() == self.thread_id:
            self._set_flow()
        else:
            # A loop that is closed needs no more of them.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._set_flow)

    def _set_flow(self) -> None:
        # NB: as it is when this runs; two changes may overtake one another.
        if self.results.is_flowing:
            self.manager.dispatcher.resume_reading()
        else:
            self.manager.dispatcher.pause_reading()
