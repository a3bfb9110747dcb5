"""Give queries to workers, and to each caller exactly one end of each."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from busduct._result_queue import ResultQueue
from busduct._waking import Waker
from busduct.errors import (
    BusductError,
    ClosedError,
    EngineDeadError,
    LocalProtocolError,
)
from busduct.messages import Query
from busduct.statistics import DispatcherStatistics
from busduct.workers._callers import Callers
from busduct.workers._deadlines import Deadlines
from busduct.workers._intake import Intake
from busduct.workers._ledger import Entry, Item, Ledger, Sink
from busduct.workers._outgoing import Outgoing
from busduct.workers._routing import Routing, new_router

if TYPE_CHECKING:
    from busduct.transport.pool import WorkerPoolTransport

__all__ = ["Dispatcher"]


class Dispatcher:
    """Spread queries over the workers of a pool, and end each exactly once.

    A query goes to a worker at once, and stays in a ledger until that worker is done
    with it. It ends with the worker's `QueryResult`, or with one whose error says why
    there is none: ``worker_died``, ``timeout``, ``cancelled`` or ``shutdown``.

    Use it on the loop's thread only.

    Args:
        pool: Carries the queries; the caller cleans it up, after `close`.
        num_workers: How many it has. None is used before `note_ready`.
        loop: Everything happens there.
        routing: ``round_robin``, or ``least_loaded``: fewest queries under way.
        request_timeout: Seconds that a query may take which has no timeout of its own;
            None for no limit.

    Raises:
        ConfigError: There is no such routing.
    """

    def __init__(
        self,
        pool: "WorkerPoolTransport",
        num_workers: int,
        loop: asyncio.AbstractEventLoop,
        *,
        routing: Routing = "round_robin",
        request_timeout: float | None = None,
    ) -> None:
        self._loop = loop
        self._request_timeout = request_timeout
        self._ledger = Ledger(num_workers)
        self._router = new_router(routing, num_workers)
        self._outgoing = Outgoing(
            pool, self._ledger, self._router, loop, self._on_unsendable
        )
        self._deadlines = Deadlines(loop, self._ledger, self._on_due)
        self._results = ResultQueue(Waker(), self._on_flow)
        self._intake = Intake(pool, self._ledger, self._router, self._results)
        self._callers = Callers(pool, self._ledger, self._results)
        self._refuse: Callable[[], BusductError] | None = None
        self._num_submitted = 0
        self._num_resent = 0

    @property
    def num_in_flight(self) -> int:
        """Queries submitted and not yet ended."""
        return self._ledger.num_under_way

    def submit(
        self, query: Query, sink: Sink | None = None, *, wait: bool = False
    ) -> None:
        """Give a query to a worker, or keep it for the next one that is ready.

        Args:
            query: Sent as it is. Its `timeout` counts from here.
            sink: Called on the loop with each `StreamChunk` of the query and at last
                with its `QueryResult`; what it raises is logged. None: they wait for
                `poll`, `recv` or `drain`.
            wait: Keep it until a worker has room, however many wait; how many may is
                the caller's to say.

        Raises:
            ClosedError: After `close`.
            EngineDeadError: No worker is left, and none will be started.
            FullError: The queues of all workers are full, or too many queries wait for
                a worker to start. Nothing was accepted. Not with `wait`.
            LocalProtocolError: A query of this id is under way. One that ended early,
                cancelled or by its deadline, is so until its worker is done with it.
            TypeError: What cannot be encoded.
        """
        if self._refuse is not None:
            raise self._refuse()
        if query.id in self._ledger.entries:
            msg = f"a query of id {query.id!r} is under way"
            raise LocalProtocolError(msg)
        entry = Entry(query, sink)
        self._outgoing.send(entry, wait=wait)
        self._num_submitted += 1
        timeout = query.timeout
        if timeout is None:
            timeout = self._request_timeout
        if timeout is not None:
            self._deadlines.set(entry, timeout)

    def cancel(self, query_id: str) -> bool:
        """Give a query up: it ends with the error ``cancelled``, its worker is told.

        Returns:
            Whether it was under way.
        """
        entry = self._ledger.get(query_id)
        if entry is None:
            return False
        self._callers.give_up(entry, "cancelled", "given up by the caller")
        return True

    def poll(self) -> Item | None:
        """Take the next result or chunk of a query without a sink; None if none is."""
        if not self._results and self._refuse is None:
            self._intake.look()
        return self._results.poll()

    async def recv(self) -> Item | None:
        """Take the next, waiting for it; None once none will come any more.

        That is after `close`, or when no worker is left. Cancelled, it took nothing.
        """
        return await self._results.recv()

    def drain(self, max_n: int | None = None) -> list[Item]:
        """Take those that are there, up to `max_n`."""
        if not self._results and self._refuse is None:
            self._intake.look()
        return self._results.drain(max_n)

    def pause_reading(self) -> None:
        """Leave with the workers what they send, for sinks that have no room.

        What a dead worker had sent is read nevertheless. Idempotent.
        """
        self._intake.pause()

    def resume_reading(self) -> None:
        """Undo `pause_reading`. Idempotent."""
        self._intake.resume()

    def stats(self) -> DispatcherStatistics:
        """Return the counters, and how the queries stand."""
        return DispatcherStatistics(
            num_submitted=self._num_submitted,
            num_in_flight=self._ledger.num_under_way,
            num_held=len(self._ledger.held),
            num_untaken=len(self._results),
            num_resent=self._num_resent,
            num_late=self._ledger.num_late,
            num_errors=dict(self._callers.num_errors),
            ready_workers=tuple(self._router.ready),
        )

    def start(self) -> None:
        """Begin to read what workers send; on the loop. Idempotent."""
        self._intake.start(self._loop, self.fail)

    def note_ready(self, worker_id: int) -> None:
        """Use a worker, which has nothing of ours yet."""
        if self._refuse is None:
            self._router.add(worker_id)
            self._outgoing.flush()

    def note_lost(self, worker_id: int) -> None:
        """Use a worker no more, for it is dead; `settle` is to follow."""
        self._router.remove(worker_id)

    async def settle(
        self, worker_id: int, num_started: Callable[[], int], reason: str
    ) -> None:
        """Take in what a dead worker sent; end what else it started, re-send the rest.

        Args:
            worker_id: Of a process that is dead.
            num_started: Asked once all is in: how many queries it had taken up.
            reason: Of its death, for the callers.
        """
        await self._intake.take_all_of(worker_id)
        self.lose(worker_id, num_started(), reason)

    def lose(self, worker_id: int, num_started: int, reason: str) -> None:
        """Do as `settle`, whatever may still be on its way."""
        started, unstarted = self._ledger.lose(worker_id, num_started)
        for entry in started:
            metadata = {"worker_id": worker_id}
            self._callers.tell_error(entry, "worker_died", reason, metadata)
        self._num_resent += len(unstarted)
        self._outgoing.flush()

    def fail(self, reason: str) -> None:
        """End everything: no worker is left, and none will come. Idempotent."""
        if self._refuse is None:
            error = partial(EngineDeadError, "worker pool", reason)
            self._end_all(error, "worker_died", reason)

    def close(self) -> None:
        """End what is under way with the error ``shutdown``. Idempotent.

        What has come can still be taken.
        """
        if self._refuse is None:
            self._intake.take_rest()
        reason = "the pool was shut down"
        self._end_all(partial(ClosedError, "worker pool"), "shutdown", reason)
        self._intake.close()

    def _on_flow(self) -> None:
        self._intake.go_on()

    def _on_due(self, entries: list[Entry]) -> None:
        for entry in entries:
            timeout = entry.query.timeout
            if timeout is None:
                timeout = self._request_timeout
            # A sink that was called meanwhile may have given this one up.
            if not entry.is_ended:
                reason = f"no result within {timeout} s"
                self._callers.give_up(entry, "timeout", reason)

    def _on_unsendable(self, entry: Entry, error: Exception) -> None:
        self._callers.give_up(entry, "request", str(error))

    def _end_all(
        self, refuse: Callable[[], BusductError], error_type: str, reason: str
    ) -> None:
        self._refuse = refuse
        self._deadlines.close()
        self._outgoing.close()
        for entry in self._ledger.end_all():
            self._callers.tell_error(entry, error_type, reason)
        self._results.close()
