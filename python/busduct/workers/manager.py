"""Start the processes of a pool, keep them running, and end them for certain."""

import asyncio
import logging
import os
import warnings
from functools import partial
from typing import Any

import msgspec

from busduct._processes import ChildProcess, RestartBudget
from busduct._scopes import AsyncScope
from busduct.errors import LocalProtocolError, WorkerStartError
from busduct.transport.pool import WorkerPoolTransport, ZMQTransportConfig
from busduct.workers._progress import StartBoard
from busduct.workers._settings import LaunchSettings, WorkerSettings
from busduct.workers._supervision import Supervision
from busduct.workers._worker import Worker
from busduct.workers.dispatcher import Dispatcher

__all__ = ["WorkerManager"]

_log = logging.getLogger("busduct.workers")


class WorkerManager(AsyncScope):
    """The processes of a pool, what carries their messages, and who spreads the work.

    It can be an asynchronous context manager, which starts and ends the workers.

    NB: use it on the loop's thread, and start it from a thread that lives as long as
    the workers are to: the kernel ends them with the thread that started them.

    Args:
        http_config: An `HTTPClientConfig`, or other `WorkerSettings`.
        loop: Everything happens there.

    Attributes:
        http_config: As above.
        pool_transport: Carries the messages; open from here on.
        dispatcher: Takes the queries.
        workers: Handles, by id; with a pid from `initialize` on.

    Raises:
        ConfigError: A setting is wrong.
    """

    def __init__(
        self, http_config: WorkerSettings, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.http_config = http_config
        self._loop = loop
        self._state = "new"
        self._lock = asyncio.Lock()
        self._supervision: Supervision | None = None
        transport = http_config.transport or ZMQTransportConfig()
        num_workers = http_config.num_workers
        self.pool_transport: WorkerPoolTransport = transport.transport_class.create(
            loop, num_workers, config=transport
        )
        try:
            self.dispatcher = Dispatcher(
                self.pool_transport,
                num_workers,
                loop,
                routing=http_config.routing,
                request_timeout=http_config.request_timeout,
            )
            self._board = StartBoard(num_workers)
        except BaseException:
            self.pool_transport.cleanup()
            raise
        self.workers = [Worker(each, self._spawn) for each in range(num_workers)]

    @property
    def worker_pids(self) -> dict[int, int]:
        """The process of each worker that has been started, as of the last restart."""
        pids = {worker.worker_id: worker.pid for worker in self.workers}
        return {worker_id: pid for worker_id, pid in pids.items() if pid is not None}

    async def initialize(self) -> None:
        """Start all workers at once, and wait until they are ready.

        If it fails or is cancelled, nothing is left of them, nor of the transport.

        Raises:
            WorkerStartError: Some ended before they were ready. It is a `RuntimeError`
                whose text has their pids and the last lines they wrote.
            WaitTimeoutError: Not all were ready in `worker_initialization_timeout`. It
                is a `TimeoutError` whose text tells how many were, and which are not.
            LocalProtocolError: Called before.
            OSError: What the system refuses.
        """
        if self._state != "new":
            msg = "a worker manager is initialized once"
            raise LocalProtocolError(msg)
        self._state = "running"
        try:
            for worker in self.workers:
                worker.start()
            await self._wait_ready()
        except BaseException:
            await self.shutdown()
            raise
        self.dispatcher.start()
        config = self.http_config
        self._supervision = Supervision(
            self.workers,
            self.pool_transport,
            self.dispatcher,
            self._board,
            new_budget=partial(
                RestartBudget, config.max_restarts, config.restart_window
            ),
            start_timeout=config.worker_initialization_timeout,
        )

    async def shutdown(self) -> None:
        """End what is under way, the workers, and the transport. Idempotent.

        Workers are asked to end, killed after `worker_graceful_shutdown_wait`, and
        reaped. Results that have come can still be taken from the dispatcher.
        Cancelled, it kills at once.
        """
        async with self._lock:
            if self._state == "closed":
                return
            self._state = "closed"
            try:
                if self._supervision is not None:
                    await self._supervision.aclose()
                self.dispatcher.close()
                await self._end_workers()
            finally:
                self._release()

    async def aclose(self) -> None:
        """Do as `shutdown`."""
        await self.shutdown()

    async def __aenter__(self) -> "WorkerManager":
        await self.initialize()
        return self

    def __del__(self) -> None:
        if getattr(self, "_state", "new") == "running":
            warnings.warn(
                f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self
            )

    def _spawn(self, worker: Worker) -> ChildProcess:
        config = self.http_config
        worker_id = worker.worker_id
        plan = config.cpu_affinity
        connector = self.pool_transport.worker_connector
        launch = LaunchSettings(
            parent_pid=os.getpid(),
            worker_id=worker_id,
            cpus=() if plan is None else plan.get_worker_cpus(worker_id),
            log_level=config.log_level,
            target=config.worker_target,
            progress_fd=self._board.fd,
            connector=msgspec.Raw(msgspec.json.encode(connector)),
            settings=msgspec.Raw(config.to_worker_settings()),
        )
        return ChildProcess(
            worker.name,
            ["-m", "busduct.workers._child"],
            msgspec.json.encode(launch),
            {},
            pass_fds=(self._board.fd,),
        )

    async def _wait_ready(self) -> None:
        """Wait until all are ready, or one ends."""
        timeout = self.http_config.worker_initialization_timeout
        ready = self._loop.create_task(
            self.pool_transport.wait_for_workers_ready(timeout)
        )
        exits = (worker.exited for worker in self.workers)
        waited_for: set[asyncio.Future[Any]] = {ready, *exits}
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            dead = [worker for worker in self.workers if not worker.is_alive()]
            if dead:
                ids = ", ".join(str(worker.worker_id) for worker in dead)
                reasons = "\n".join(worker.last_words() for worker in dead)
                raise WorkerStartError(ids, reasons)
            ready.result()
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        for worker in self.workers:
            self.dispatcher.note_ready(worker.worker_id)

    async def _end_workers(self) -> None:
        config = self.http_config
        grace = config.worker_graceful_shutdown_wait
        ends = [worker.end(grace) for worker in self.workers]
        try:
            async with asyncio.timeout(grace + config.worker_force_kill_timeout):
                await asyncio.gather(*ends)
        except TimeoutError:
            left = [worker.pid for worker in self.workers if worker.is_alive()]
            _log.error("killed workers that do not end: %s", left)

    def _release(self) -> None:
        for worker in self.workers:
            worker.kill_and_reap()
        self.dispatcher.close()
        self.pool_transport.cleanup()
        self._board.close()
