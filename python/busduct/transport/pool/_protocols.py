"""What a pool of workers and its callers ask of whatever carries their messages."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, runtime_checkable

from busduct.messages import Query, QueryResult, StreamChunk
from busduct.statistics import PoolStatistics
from busduct.transport._sender_receiver import ReceiverTransport, SenderTransport

if TYPE_CHECKING:
    from busduct.transport.pool._config import TransportConfig

__all__ = ["Request", "Response", "WorkerConnector", "WorkerPoolTransport"]

# A string is the id of a query to give up.
Request: TypeAlias = Query | str
Response: TypeAlias = QueryResult | StreamChunk


@runtime_checkable
class WorkerConnector(Protocol):
    """What a worker is given to reach its pool; it can be pickled, and sent as JSON."""

    def connect(
        self, worker_id: int
    ) -> AbstractAsyncContextManager[
        tuple[ReceiverTransport[Request], SenderTransport[Response]]
    ]:
        """Connect a worker, and tell the pool that it is ready before the block begins.

        The end of the block goes on sending for as long as it is configured to.

        Args:
            worker_id: Which, from 0.
        """
        ...


@runtime_checkable
class WorkerPoolTransport(Protocol):
    """Queries out to each worker, in order, and what all of them answer back in."""

    @classmethod
    def create(
        cls,
        loop: asyncio.AbstractEventLoop,
        num_workers: int,
        config: "TransportConfig | None" = None,
        **overrides: Any,
    ) -> Self:
        """Open the pool's side.

        Args:
            loop: It is used from there; it need not run yet.
            num_workers: How many, at least 1.
            config: None for the defaults.
            **overrides: Settings of the config that take the place of its own.
        """
        ...

    @property
    def worker_connector(self) -> WorkerConnector:
        """What workers are to connect with, as of the last `renew_worker`."""
        ...

    @property
    def ready_workers(self) -> frozenset[int]:
        """Those that told that they are ready."""
        ...

    def send(self, worker_id: int, query: Query) -> None:
        """Give a query to a worker, at once; silent after `cleanup`."""
        ...

    async def wait_writable(self, worker_id: int) -> bool:
        """Wait for room in a worker's queue; False after `cleanup`."""
        ...

    def cancel(self, worker_id: int, query_id: str) -> None:
        """Tell a worker to give a query up; best effort."""
        ...

    def poll(self) -> Response | None:
        """Take the next response; None if there is none, or after `cleanup`."""
        ...

    async def recv(self) -> Response | None:
        """Take the next response, waiting for it; None after `cleanup`."""
        ...

    def drain(self, max_n: int | None = None) -> list[Response]:
        """Take the responses that are there."""
        ...

    async def wait_readable(self) -> bool:
        """Wait for something to take, and take nothing; False after `cleanup`."""
        ...

    async def wait_for_workers_ready(self, timeout: float | None = None) -> None:
        """Wait until all workers are ready; `TimeoutError` if they are not in time."""
        ...

    async def wait_worker_ready(self, worker_id: int) -> None:
        """Wait until a worker is ready."""
        ...

    async def wait_worker_gone(self, worker_id: int) -> None:
        """Wait until all that a dead worker sent can be taken."""
        ...

    def renew_worker(self, worker_id: int) -> None:
        """Forget a dead worker and what is queued for it, and await another."""
        ...

    def stats(self) -> PoolStatistics:
        """Return the counters and queue lengths."""
        ...

    def cleanup(self) -> None:
        """Close the pool's side; what is queued gets its linger to go out."""
        ...
