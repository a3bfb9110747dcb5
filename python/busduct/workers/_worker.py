"""One worker by its id: the process that runs as it, and those that did."""

import asyncio
import signal
from collections.abc import Callable

from busduct._processes import ChildProcess

__all__ = ["Worker"]


class Worker:
    """A handle of one worker; it may be many processes one after another.

    Args:
        worker_id: Which, from 0.
        spawn: Starts a process for it.

    Attributes:
        worker_id: As above.
        num_restarts: Processes after the first that were started for it.
        is_abandoned: It died, and no restart was left.
    """

    def __init__(
        self, worker_id: int, spawn: Callable[["Worker"], ChildProcess]
    ) -> None:
        self.worker_id = worker_id
        self.num_restarts = 0
        self.is_abandoned = False
        self._spawn = spawn
        self._child: ChildProcess | None = None

    def __repr__(self) -> str:
        state = "alive" if self.is_alive() else f"exit code {self.exitcode}"
        return f"<worker {self.worker_id}, pid {self.pid}, {state}>"

    @property
    def name(self) -> str:
        """For log lines."""
        return f"worker-{self.worker_id}"

    @property
    def pid(self) -> int | None:
        """Of the process that runs, or ran last; None before the first."""
        return None if self._child is None else self._child.pid

    @property
    def exitcode(self) -> int | None:
        """Its exit status, or minus the signal's number; None while it runs."""
        if self._child is None or self._child.alive:
            return None
        return self._child.exited.result()

    @property
    def exited(self) -> asyncio.Future[int]:
        """Gets the exit status of the process that runs. Do not cancel it."""
        assert self._child is not None
        return self._child.exited

    def is_alive(self) -> bool:
        """Return whether a process runs."""
        return self._child is not None and self._child.alive

    def terminate(self) -> None:
        """Ask the process to end. It is taken for dead, and restarted."""
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process. It is restarted."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)

    def start(self) -> None:
        """Start a process; the one before must have ended.

        Raises:
            OSError: What the system refuses.
        """
        assert not self.is_alive()
        self.num_restarts += self._child is not None
        self._child = self._spawn(self)

    def last_words(self) -> str:
        """Return how the process ended, with the last lines of its standard error."""
        assert self._child is not None
        how = f"{self.name} (pid {self.pid}) ended with code {self.exitcode}"
        tail = self._child.stderr_tail()
        return f"{how}:\n{tail}" if tail else how

    async def end(self, grace: float) -> None:
        """End the process for good: ask, wait `grace` seconds, kill, reap.

        Cancelled, it kills at once.
        """
        if self._child is not None:
            await self._child.terminate(grace)

    def kill_and_reap(self) -> None:
        """End the process for good, without the loop."""
        if self._child is not None:
            self._child.kill_and_reap()
