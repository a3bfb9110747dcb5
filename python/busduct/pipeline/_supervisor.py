"""Keep one child process running, within a budget of restarts."""

import asyncio
import logging
from collections.abc import Callable

from busduct._processes import ChildProcess, RestartBudget
from busduct.errors import WorkerStartError
from busduct.pipeline._types import ProcessHealth

__all__ = ["ChildSupervisor"]

_log = logging.getLogger("busduct.pipeline")


class ChildSupervisor:
    """One process by its role; it may be many processes one after another.

    Args:
        name: ``"scheduler"`` or ``"detokenizer"``.
        spawn: Makes process number n; the number comes back with its readiness.
        start_timeout: Seconds until it must be ready.
        budget: Of restarts, shared with the other processes of the engine.
        on_death: Called at once with the exit status when a ready process ends.
    """

    def __init__(
        self,
        name: str,
        spawn: Callable[[int], ChildProcess],
        *,
        start_timeout: float,
        budget: RestartBudget,
        on_death: Callable[[str, int], None],
    ) -> None:
        self.name = name
        self._spawn = spawn
        self._start_timeout = start_timeout
        self._budget = budget
        self._on_death = on_death
        self._generation = 0
        self._ready: asyncio.Future[None] | None = None
        self._child: ChildProcess | None = None
        self._num_restarts = 0

    @property
    def generation(self) -> int:
        """The number of the process that runs, or ran last."""
        return self._generation

    @property
    def is_ready(self) -> bool:
        """Whether the process runs and has reported that it is ready."""
        return (
            self._child is not None
            and self._child.alive
            and self._ready is not None
            and self._ready.done()
        )

    def health(self) -> ProcessHealth:
        """Return how the process stands."""
        return ProcessHealth(
            name=self.name,
            pid=None if self._child is None else self._child.pid,
            alive=self.is_ready,
            num_restarts=self._num_restarts,
        )

    def note_ready(self, generation: int) -> bool:
        """Take a process's report; return False if nobody waits for this one."""
        ready = self._ready
        if ready is None or ready.done() or generation != self._generation:
            return False
        ready.set_result(None)
        return True

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Cancelled or failed, the process is gone.

        Raises:
            WorkerStartError: It ended, or the time is over.
        """
        self._generation += 1
        ready = self._ready = asyncio.get_running_loop().create_future()
        child = self._child = self._spawn(self._generation)
        try:
            await asyncio.wait(
                {ready, child.exited},
                timeout=self._start_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not child.alive:
                raise self._start_error(f"ended with code {child.exited.result()}")
            if not ready.done():
                raise self._start_error(f"not ready after {self._start_timeout} s")
        except BaseException:
            child.kill_and_reap()
            raise

    async def watch(self) -> str:
        """Start the process again whenever it ends.

        Returns:
            Why it gave up, once the budget is used up.
        """
        while True:
            assert self._child is not None
            status = await asyncio.shield(self._child.exited)
            _log.error("%s died with exit code %d", self.name, status)
            self._on_death(self.name, status)
            reason = f"{self.name} died with exit code {status}"
            clock = asyncio.get_running_loop().time
            while (delay := self._budget.take(clock())) is not None:
                await asyncio.sleep(delay)
                self._num_restarts += 1
                try:
                    await self.start()
                    break
                except WorkerStartError as error:
                    _log.error("%s", error)
                    reason = str(error)
            else:
                return f"no restart left; {reason}"

    async def terminate(self, grace: float) -> None:
        """End the process, if there is one: ask, wait `grace` seconds, kill, reap."""
        if self._child is not None:
            await self._child.terminate(grace)

    def kill(self) -> None:
        """End the process at once, if there is one, and reap it."""
        if self._child is not None:
            self._child.kill_and_reap()

    def _start_error(self, reason: str) -> WorkerStartError:
        assert self._child is not None
        tail = self._child.stderr_tail()
        return WorkerStartError(self.name, f"{reason}\n{tail}" if tail else reason)
