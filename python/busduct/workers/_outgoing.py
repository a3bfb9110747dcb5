"""Queries on their way to a worker: routed, or held until one takes them."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct.errors import FullError
from busduct.workers._ledger import Entry, Ledger
from busduct.workers._routing import Router

if TYPE_CHECKING:
    from busduct.transport.pool import WorkerPoolTransport

__all__ = ["Outgoing"]

# Queries accepted while no worker is ready.
MAX_HELD = 16384
# Sent at once of what is held, before the loop looks after its other work.
BURST = 512


class Outgoing:
    """Send to whichever worker the router chooses, and hold what none has room for.

    Args:
        pool: What carries the queries.
        ledger: Is told who got what, and keeps what is held.
        router: Chooses.
        loop: For the task that waits for room.
        on_unsendable: Called with a query that had been held, and what its sending
            raised.
    """

    def __init__(
        self,
        pool: "WorkerPoolTransport",
        ledger: Ledger,
        router: Router,
        loop: asyncio.AbstractEventLoop,
        on_unsendable: Callable[[Entry, Exception], None],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._router = router
        self._loop = loop
        self._on_unsendable = on_unsendable
        # What flushes again: once there is room, or in the next turn of the loop.
        self._waiting: asyncio.Task[None] | None = None
        self._turn: asyncio.Handle | None = None

    def send(self, entry: Entry, *, wait: bool) -> None:
        """Send a new query, or hold it if no worker is ready.

        Args:
            entry: The query's.
            wait: Hold it also if none has room, and however many are held.

        Raises:
            FullError: All queues are full, or too many queries are held.
        """
        if not self._ledger.held:
            try:
                if self._give(entry):
                    return
            except FullError:
                if not wait:
                    raise
        elif not wait:
            self._require_place()
        self._ledger.hold(entry)
        if self._router.ready and self._waiting is None and self._turn is None:
            self._wait_for_room()

    def flush(self) -> None:
        """Send what is held, as far as there are workers with room."""
        self.close()
        held = self._ledger.held
        for _ in range(BURST):
            if not held:
                return
            entry = next(iter(held.values()))
            try:
                if not self._give(entry):
                    return
            except FullError:
                self._wait_for_room()
                return
            except Exception as error:
                # Its caller has gone on: nobody to raise to.
                self._on_unsendable(entry, error)
        if held:
            self._turn = self._loop.call_soon(self.flush)

    def close(self) -> None:
        """Wait for room no more. Idempotent."""
        for due in (self._waiting, self._turn):
            if due is not None:
                due.cancel()
        self._waiting = self._turn = None

    def _require_place(self) -> None:
        """Refuse to hold more than should be.

        Raises:
            FullError: There is no room behind those that are held.
        """
        num_ready = len(self._router.ready)
        if num_ready and self._waiting is not None:
            # What is held waits for room, so there is none for more.
            limit = f"{num_ready} workers"
            raise FullError(limit)
        if len(self._ledger.held) >= MAX_HELD:
            limit = f"{MAX_HELD} queries that wait for a worker"
            raise FullError(limit)

    def _give(self, entry: Entry) -> bool:
        """Send to a worker; return whether one is ready.

        Raises:
            FullError: All that are ready are full.
        """
        worker_id = self._router.choose()
        if worker_id is None:
            return False
        try:
            self._pool.send(worker_id, entry.query)
        except FullError:
            worker_id = self._send_elsewhere(entry, worker_id)
        except BaseException:
            self._router.move(worker_id, None)
            raise
        self._ledger.assign(entry, worker_id)
        return True

    def _send_elsewhere(self, entry: Entry, full_id: int) -> int:
        """Send to another worker than the chosen one, which is full; return which."""
        for worker_id in self._router.ready:
            if worker_id == full_id:
                continue
            with contextlib.suppress(FullError):
                self._pool.send(worker_id, entry.query)
                self._router.move(full_id, worker_id)
                return worker_id
        self._router.move(full_id, None)
        limit = f"{len(self._router.ready)} workers"
        raise FullError(limit)

    def _wait_for_room(self) -> None:
        waiting = self._flush_with_room(list(self._router.ready))
        self._waiting = self._loop.create_task(waiting, name="room for queries")

    async def _flush_with_room(self, worker_ids: list[int]) -> None:
        """Send on once any of these workers has room."""
        waits = [
            self._loop.create_task(self._pool.wait_writable(worker_id))
            for worker_id in worker_ids
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._waiting = None
        self.flush()
