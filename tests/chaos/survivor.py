"""The process that lives on: one context of ours, and what it sees of deaths."""

import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.chaos.children import Child, moment
from tests.chaos.traces import has_named_memory, num_fds, num_maps
from tests.transport.waiting import turn_until

PATIENCE_SECONDS = 50.0


class Survivor:
    """A bound socket whose peers are killed."""

    def __init__(
        self,
        backend: ModuleType,
        kind: str,
        path: Path,
        context: Any,
        options: dict[str, Any],
    ) -> None:
        self.context = context
        self.sock = context.socket(getattr(backend, kind), **options)
        self.endpoint = self.sock.bind(f"ipc://{path}")
        self._monitor = self.sock.monitor()
        self._num_fds = num_fds()

    def meet(self, child: Child, rng: random.Random, work: Callable[[], bool]) -> bool:
        """Work until the child is killed, whenever that is; whether it was ready.

        Args:
            child: Has begun.
            rng: Draws the moment.
            work: Does a little, and says whether there was anything to do.
        """
        amid_traffic, delay = moment(rng)
        if not amid_traffic:
            child.kill_within(delay)
        deadline = time.monotonic() + PATIENCE_SECONDS
        is_timed = not amid_traffic
        while not child.killed_at:
            assert time.monotonic() < deadline, "the child never was ready"
            if not is_timed and child.is_ready:
                is_timed = True
                assert not has_named_memory(child.process.pid)
                child.kill_within(delay)
            if not work():
                self.context.run_once(0.002)
        return amid_traffic

    def see_end(self, child: Child) -> float:
        """Wait until the socket knows of the death; return how long that took."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (
            self._monitor.recv_blocking(deadline - time.monotonic()).kind
            != "disconnected"
        ):
            pass
        return time.monotonic() - child.killed_at

    def forget_events(self) -> None:
        """Let go of what happened to those that were killed early."""
        while self._monitor.recv_nowait() is not None:
            pass

    def is_clean(self) -> bool:
        """Whether nothing of any peer is left."""
        statistics = self.context.statistics()
        # A segment of our own is mapped, and its descriptor kept for peers to come.
        own = statistics.num_shm_segments
        return (
            statistics.num_shm_peers == statistics.shm_ring_bytes == 0
            and statistics.num_shm_slots_held == 0
            and (num_maps(), num_fds()) == (own, self._num_fds + own)
        )

    def expect_clean(self) -> None:
        """Wait until nothing of any peer is left."""
        try:
            turn_until(self.context, self.is_clean)
        except AssertionError:
            found = (self.context.statistics(), num_maps(), num_fds() - self._num_fds)
            raise AssertionError(f"left: {found}") from None


@contextmanager
def survivor(
    backend: ModuleType,
    kind: str,
    directory: Path,
    rng: random.Random,
    hwm_messages: int = 1_000_000,
) -> Iterator[Survivor]:
    """Give one whose context is as it may be, and see that nothing is left of it."""
    options = {
        "io_thread": rng.random() < 0.3,
        "shm": "require",
        "shm_ring_bytes": rng.choice([64 << 10, 512 << 10]),
        "shm_max_bytes": rng.choice([64 << 20, 256 << 20]),
        "spin_us": rng.choice([0, 0, 200]),
    }
    # What other tests have left to it would be missed later.
    gc.collect()
    # What is kept of lost messages is bounded by the marks.
    marks = {"hwm_messages": hwm_messages, "hwm_bytes": 1 << 30, "linger": 0.0}
    with backend.Context(**options) as context:
        yield Survivor(backend, kind, directory / "a", context, marks)
        assert not has_named_memory(os.getpid())
    assert list(directory.iterdir()) == []
