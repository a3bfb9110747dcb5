"""Queries on their way to a worker: routed, or held until one takes them."""

import asyncio
import contextlib
from collections import deque
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
# A worker's queue does not tell when it has room; a response mostly does, and sooner.
RETRY_SECONDS = 0.02


class Outgoing:
    """Send to whichever worker the router chooses, and keep what none has room for.

    Args:
        pool: What carries the queries.
        ledger: Is told who got what.
        router: Chooses.
        loop: For another attempt when workers are full.
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
        self._held: deque[Entry] = deque()
        self._retry: asyncio.TimerHandle | None = None

    @property
    def is_holding(self) -> bool:
        """Whether queries wait for a worker, or waited until they ended."""
        return bool(self._held)

    @property
    def num_held(self) -> int:
        """Queries that wait for a worker."""
        return sum(not entry.is_ended for entry in self._held)

    def send(self, entry: Entry) -> None:
        """Send a new query, or hold it if no worker is ready.

        Raises:
            FullError: All queues are full, or too many queries are held.
        """
        if self._held or not self._give(entry):
            self._hold_new(entry)

    def send_again(self, entries: list[Entry]) -> None:
        """Send what a dead worker had not started, before all that is held."""
        self._held.extendleft(reversed(entries))
        self.flush()

    def flush(self) -> None:
        """Send what is held, as far as there are workers with room."""
        held = self._held
        while held:
            # NB: taken out first, for callers may do what leads here again.
            entry = held.popleft()
            try:
                if entry.is_ended or self._give_held(entry):
                    continue
            except FullError:
                self._try_later()
            held.appendleft(entry)
            return

    def close(self) -> None:
        """Forget what is held. Idempotent."""
        self._held.clear()
        if self._retry is not None:
            self._retry.cancel()

    def _hold_new(self, entry: Entry) -> None:
        # With a worker ready, what is held waits for room: there is none for more.
        if len(self._held) >= MAX_HELD or self._router.ready:
            limit = f"{MAX_HELD} queries that wait for a worker"
            raise FullError(limit)
        self._ledger.hold(entry)
        self._held.append(entry)

    def _give_held(self, entry: Entry) -> bool:
        try:
            return self._give(entry)
        except FullError:
            raise
        except Exception as error:
            # Its caller has gone on: nobody to raise to.
            self._on_unsendable(entry, error)
            return True

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

    def _try_later(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_SECONDS, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self.flush()
