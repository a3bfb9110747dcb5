"""What workers send, on its way to the callers of its queries."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from busduct._result_queue import ResultQueue
from busduct.messages import StreamChunk
from busduct.workers._callers import call_sink
from busduct.workers._ledger import Item, Ledger
from busduct.workers._routing import Router

if TYPE_CHECKING:
    from busduct.transport.pool import WorkerPoolTransport

__all__ = ["Intake"]

_log = logging.getLogger("busduct.workers")

MAX_DRAINED = 256
# A dead worker's connection ends with it, once what it sent is read; but not if it left
# a process of its own behind.
GONE_SECONDS = 30.0


class Intake:
    """Read from the pool, and pass on what is of queries whose callers wait.

    It reads no more, but for dead workers, while results have no room.

    Args:
        pool: What is read.
        ledger: Knows the queries.
        router: Is told what workers have done with.
        results: Gets what has no sink.
    """

    def __init__(
        self,
        pool: "WorkerPoolTransport",
        ledger: Ledger,
        router: Router,
        results: ResultQueue,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._router = router
        self._results = results
        self._reader: asyncio.Task[None] | None = None
        self._is_taking = False
        self._is_paused = False
        self._num_waited_for = 0
        # Set when there is room again; None while nothing waits for that.
        self._room: asyncio.Future[None] | None = None

    def start(
        self, loop: asyncio.AbstractEventLoop, on_broken: Callable[[str], None]
    ) -> None:
        """Read from here on. Idempotent.

        Args:
            loop: Of the reading task.
            on_broken: Called with a reason when nothing can be read any more.
        """
        if self._reader is None:
            reading = self._read(on_broken)
            self._reader = loop.create_task(reading, name="dispatcher")

    def close(self) -> None:
        """Read no more by itself. Idempotent."""
        if self._reader is not None:
            self._reader.cancel()

    def pause(self) -> None:
        """Read no more by itself, but for dead workers. Idempotent."""
        self._is_paused = True

    def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        self._is_paused = False
        self.go_on()

    def go_on(self) -> None:
        """Read on, unless there is no room."""
        if self._room is not None and not self._is_held_up and not self._room.done():
            self._room.set_result(None)

    def look(self) -> None:
        """Take in what is there, without waiting for the reader's turn."""
        # NB: not from within a sink: what came before would be passed on after.
        if not self._is_taking:
            self._take(self._pool.drain(MAX_DRAINED))

    def take_rest(self) -> None:
        """Take in all that is there."""
        self._take(self._pool.drain())

    async def take_all_of(self, worker_id: int) -> None:
        """Take in all that a dead worker sent, room or not."""
        self._num_waited_for += 1
        self.go_on()
        try:
            async with asyncio.timeout(GONE_SECONDS):
                await self._pool.wait_worker_gone(worker_id)
            while items := self._pool.drain(MAX_DRAINED):
                self._take(items)
                if len(items) < MAX_DRAINED:
                    break
                await asyncio.sleep(0)
        except TimeoutError:
            _log.error("worker %d is dead and its connection is open", worker_id)
        finally:
            self._num_waited_for -= 1

    async def _read(self, on_broken: Callable[[str], None]) -> None:
        try:
            while await self._pool.wait_readable():
                self._take(self._pool.drain(MAX_DRAINED))
                if self._is_held_up:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
                else:
                    # There may be more at once: others must get their turn.
                    await asyncio.sleep(0)
        except Exception as error:
            _log.exception("what workers send cannot be read")
            on_broken(f"what workers send cannot be read: {error}")

    @property
    def _is_held_up(self) -> bool:
        has_room = self._results.is_flowing and not self._is_paused
        return not has_room and not self._num_waited_for

    def _take(self, items: Iterable[Item]) -> None:
        ledger, results = self._ledger, self._results
        self._is_taking = True
        # One loop without a call for each: this is what throughput hangs on.
        for item in items:
            if type(item) is StreamChunk:
                entry = ledger.take_chunk(item)
                if entry is None:
                    continue
            else:
                entry = ledger.take_result(item)  # type: ignore[arg-type]
                if entry is None:
                    continue
                self._router.note_ended(entry.worker_id)
                if entry.is_ended:
                    continue
                entry.is_ended = True
            if entry.sink is None:
                results.put(item)
            else:
                call_sink(entry.sink, item)
        self._is_taking = False
