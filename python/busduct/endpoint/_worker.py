"""What a worker process does: queries in, HTTP out, results back."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from busduct.endpoint._exchange import ExchangeTerms, QueryExchange
from busduct.endpoint._http._connector import Connector
from busduct.endpoint._http._errors import (
    cancelled_error,
    malformed_error,
    too_large_error,
)
from busduct.endpoint._http._limits import PoolLimits
from busduct.endpoint._http._origin import Origin
from busduct.endpoint._http._pool import ConnectionPool
from busduct.endpoint._http._template import RequestTemplate
from busduct.endpoint._http._tls import tls_context
from busduct.endpoint._response_sender import Response, ResponseSender
from busduct.endpoint.config import HTTPClientConfig, load_class
from busduct.errors import ClosedError, FrameTooLargeError
from busduct.messages import Query, QueryResult, StreamChunk

if TYPE_CHECKING:
    from busduct.transport import ReceiverTransport, WorkerConnector
    from busduct.workers import WorkerStart

__all__ = ["Worker", "main"]

_log = logging.getLogger(__name__)

# So many are read ahead of the connections, which lets a cancellation overtake them;
# what is beyond stays with the pool, which counts it in its limits.
MAX_WAITING = 4096
# Between two of these the event loop reads what came over HTTP.
MAX_BURST = 64
# Objects of a request have no cycles: what is collected is rare.
RELAXED_GC = (50_000, 20, 100)


class Progress(Protocol):
    """Counts, where the parent sees it, the queries that have started."""

    def advance(self) -> object:
        """Count one more."""
        ...


class Worker:
    """Do the HTTP of the queries that come.

    Queries are started in the order in which they came. While the transport is full,
    results wait here, nothing is started, and responses wait in the kernel.

    Args:
        worker_id: Chooses the endpoint, and is told in results.
        connector: Opens the transports.
        config: Of the client.
        progress: Told of each query when it leaves the line.
    """

    def __init__(
        self,
        worker_id: int,
        connector: "WorkerConnector",
        config: HTTPClientConfig,
        progress: Progress | None = None,
    ) -> None:
        self._worker_id = worker_id
        self._connector = connector
        self._config = config
        self._progress = progress
        self._exchanges: dict[str, QueryExchange] = {}
        self._running: asyncio.Task[None] | None = None
        self._receiver: ReceiverTransport[Query | str] | None = None
        self._is_full = False
        self._is_stopping = False

    async def run(self) -> None:
        """Work until `stop` is called or the transport is closed.

        Raises:
            ConfigError: The settings cannot be used.
        """
        self._running = asyncio.current_task()
        self._has_room = asyncio.Event()
        self._pool = self._make_pool()
        self._responses = ResponseSender(
            self._pool.pause, self._pool.resume, self._note_unsendable
        )
        # Whatever is wrong with the settings shows before the pool is told "ready".
        self._terms = self._make_terms()
        try:
            await self._warm_up()
            await self._work()
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
        finally:
            await self._pool.close()

    def stop(self) -> None:
        """Take no more and close what runs; may be called before `run`, and again."""
        self._is_stopping = True
        if self._receiver is not None:
            self._receiver.close()
            self._has_room.set()
        elif self._running is not None:
            self._running.cancel()

    def _make_pool(self) -> ConnectionPool:
        config = self._config
        self._origin = Origin.of(config.url_of(self._worker_id))
        tls = None
        if self._origin.scheme == "https":
            tls = tls_context(ca_file=config.ca_file, insecure=config.insecure)
        limits = PoolLimits(
            max_connections=config.connections_of(self._worker_id),
            max_concurrent_connects=config.max_concurrent_warmup_connects,
            max_idle_time=config.max_idle_time,
            max_retries=config.max_retries,
            max_header_bytes=config.max_header_bytes,
            max_body_bytes=config.max_body_bytes,
        )
        connector = Connector(self._origin, tls, config.connect_timeout)
        return ConnectionPool(connector, limits)

    def _make_terms(self) -> ExchangeTerms:
        config = self._config
        return ExchangeTerms(
            worker_id=self._worker_id,
            template=RequestTemplate(self._origin, config.api_key),
            adapter=load_class(config.adapter),
            accumulator=load_class(config.accumulator),
            stream_all_chunks=config.stream_all_chunks,
            max_event_bytes=config.max_event_bytes,
            advance=self._note_taken,
            send=self._responses.send,
            forget=self._forget,
        )

    async def _warm_up(self) -> None:
        num_wanted = self._config.warmups_of(self._worker_id)
        num_open = await self._pool.warm_up(num_wanted) if num_wanted else 0
        num_required = self._config.min_required_connections // self._config.num_workers
        if num_open < min(num_required, num_wanted):
            message = "worker %d made %d of %d connections to %s"
            details = (self._worker_id, num_open, num_wanted, self._origin)
            _log.warning(message, *details)

    async def _work(self) -> None:
        async with self._connector.connect(self._worker_id) as (receiver, sender):
            self._receiver = receiver
            self._responses.open(sender)
            try:
                if not self._is_stopping:
                    await self._take_all(receiver)
            finally:
                # Before the transport goes, which results would be sent to.
                self._responses.close()
                await self._pool.close()

    async def _take_all(self, receiver: "ReceiverTransport[Query | str]") -> None:
        """Take queries and cancellations until there will be no more."""
        num_taken = 0
        while True:
            item = receiver.poll()
            if item is None:
                item = await receiver.recv()
                num_taken = 0
                if item is None:
                    return
            if isinstance(item, str):
                self._cancel(item)
            else:
                exchange = QueryExchange(item, self._terms)
                self._exchanges[item.id] = exchange
                self._pool.submit(exchange)
            num_taken += 1
            if self._pool.num_waiting >= MAX_WAITING:
                self._is_full = True
                self._has_room.clear()
                await self._has_room.wait()
            elif num_taken == MAX_BURST:
                num_taken = 0
                await asyncio.sleep(0)

    def _cancel(self, query_id: str) -> None:
        exchange = self._exchanges.get(query_id)
        if exchange is None:
            # It ended, and its result is on its way.
            return
        exchange.cancel()
        # Its caller has long had the end. It is the pool that is told: nothing comes of
        # this query any more, and there is room for another.
        metadata = {"worker_id": self._worker_id}
        error = cancelled_error()
        self._responses.send(QueryResult(id=query_id, metadata=metadata, error=error))

    def _note_taken(self) -> None:
        if self._progress is not None:
            self._progress.advance()
        if self._is_full and self._pool.num_waiting < MAX_WAITING // 2:
            self._is_full = False
            self._has_room.set()

    def _forget(self, exchange: QueryExchange) -> None:
        if self._exchanges.get(exchange.query_id) is exchange:
            del self._exchanges[exchange.query_id]

    def _note_unsendable(self, item: Response, error: Exception) -> None:
        """End a query of which something cannot go through the transport."""
        if isinstance(error, ClosedError) or self._is_stopping:
            return
        if exchange := self._exchanges.get(item.id):
            exchange.cancel()
        if isinstance(error, FrameTooLargeError):
            what = too_large_error("result", error.limit)
        else:
            what = malformed_error(f"result cannot be sent: {error}")
        # NB: once. An error that cannot be sent has nothing left that could be.
        if isinstance(item, StreamChunk) or item.error is None:
            metadata = {"worker_id": self._worker_id}
            self._responses.send(QueryResult(id=item.id, metadata=metadata, error=what))


def main(start: "WorkerStart") -> None:
    """Be a worker process until SIGTERM or SIGINT, or until the pool is gone.

    Raises:
        ConfigError: The settings cannot be used.
    """
    config = HTTPClientConfig.from_worker_settings(start.settings)
    logging.basicConfig(
        level=config.log_level.upper(),
        format=f"%(asctime)s worker {start.worker_id} %(levelname)s %(message)s",
    )
    worker = Worker(start.worker_id, start.connector, config, start.progress)
    _set_gc(config.worker_gc_mode)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(worker))


async def _run(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    if eager := getattr(asyncio, "eager_task_factory", None):
        loop.set_task_factory(eager)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()


def _set_gc(mode: str) -> None:
    # What is there by now stays: no collection need look at it.
    gc.collect()
    gc.freeze()
    if mode == "disabled":
        gc.disable()
    elif mode == "relaxed":
        gc.set_threshold(*RELAXED_GC)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
