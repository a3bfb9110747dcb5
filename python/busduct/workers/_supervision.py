"""Watch the workers of a pool: settle what a dead one had, and start it again."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from busduct._processes import RestartBudget
from busduct._scopes import AsyncScope
from busduct.errors import WorkerStartError
from busduct.transport.pool import WorkerPoolTransport
from busduct.workers._progress import StartBoard
from busduct.workers._worker import Worker
from busduct.workers.dispatcher import Dispatcher

__all__ = ["Supervision"]

_log = logging.getLogger("busduct.workers")


class Supervision(AsyncScope):
    """A task for each worker, from when all are ready until closed.

    Args:
        workers: All started and ready.
        pool: Their transport.
        dispatcher: Is told what becomes of them.
        board: Tells what a dead one had started.
        new_budget: Makes that of the restarts of one worker.
        start_timeout: Seconds until a restarted one must be ready.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        pool: WorkerPoolTransport,
        dispatcher: Dispatcher,
        board: StartBoard,
        *,
        new_budget: Callable[[], RestartBudget],
        start_timeout: float,
    ) -> None:
        self._workers = workers
        self._pool = pool
        self._dispatcher = dispatcher
        self._board = board
        self._new_budget = new_budget
        self._start_timeout = start_timeout
        self._clock = asyncio.get_running_loop().time
        self._tasks = [
            asyncio.create_task(self._watch(worker), name=f"watch {worker.name}")
            for worker in workers
        ]

    async def aclose(self) -> None:
        """Watch no more; the workers go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, worker: Worker) -> None:
        budget = self._new_budget()
        try:
            while True:
                await asyncio.shield(worker.exited)
                reason = await self._settle(worker)
                if not await self._restart(worker, budget):
                    break
        except Exception as error:
            _log.exception("%s cannot be watched any more", worker.name)
            reason = f"{worker.name} cannot be watched: {error}"
            worker.kill_and_reap()
            num_started = self._board.num_started(worker.worker_id)
            self._dispatcher.lose(worker.worker_id, num_started, reason)
        self._abandon(worker, reason)

    async def _settle(self, worker: Worker) -> str:
        """Have done with a dead process; return what became of it."""
        worker_id = worker.worker_id
        self._dispatcher.note_lost(worker_id)
        reason = worker.last_words()
        _log.error("%s", reason)
        await self._dispatcher.settle(
            worker_id, lambda: self._board.num_started(worker_id), reason
        )
        self._renew(worker_id)
        return reason

    async def _restart(self, worker: Worker, budget: RestartBudget) -> bool:
        """Start a worker again; return whether the budget allowed it."""
        while (delay := budget.take(self._clock())) is not None:
            await asyncio.sleep(delay)
            try:
                await self._start(worker)
            except (WorkerStartError, OSError) as error:
                _log.error("%s", error)
                self._renew(worker.worker_id)
            else:
                self._dispatcher.note_ready(worker.worker_id)
                return True
        return False

    async def _start(self, worker: Worker) -> None:
        """Start a process and wait until it is ready.

        Raises:
            WorkerStartError: It ended, or the time is over.
            OSError: What the system refuses.
        """
        worker.start()
        ready = asyncio.create_task(self._pool.wait_worker_ready(worker.worker_id))
        waited_for: set[asyncio.Future[Any]] = {ready, worker.exited}
        try:
            await asyncio.wait(
                waited_for,
                timeout=self._start_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        name = str(worker.worker_id)
        if not worker.is_alive():
            raise WorkerStartError(name, worker.last_words())
        if ready.cancelled():
            worker.kill_and_reap()
            reason = f"not ready after {self._start_timeout} s"
            raise WorkerStartError(name, reason)
        ready.result()

    def _renew(self, worker_id: int) -> None:
        """Have nothing left of a dead process in what its successor gets."""
        self._pool.renew_worker(worker_id)
        self._board.reset(worker_id)

    def _abandon(self, worker: Worker, reason: str) -> None:
        worker.is_abandoned = True
        left = sum(not other.is_abandoned for other in self._workers)
        _log.error(
            "%s is not started again: no restart is left; workers left: %d of %d",
            worker.name,
            left,
            len(self._workers),
        )
        if not left:
            self._dispatcher.fail(f"no worker is left; {reason}")
