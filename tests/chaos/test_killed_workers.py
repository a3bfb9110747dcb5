"""Workers are killed at any moment: each query ends once, and none is done twice."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from tests.chaos.kills import NUM_KILLS, TIMEOUT_SECONDS
from tests.processes.conditions import until
from tests.workers.pools import ask, error_of, running

from busduct.messages import QueryResult, StreamChunk
from busduct.workers import WorkerManager
from busduct.workers._routing import Routing

# On each backend: 200 where `make test-kills` says 500.
NUM_WORKER_KILLS = -(-NUM_KILLS * 2 // 5)
NUM_WORKERS = 4
NUM_IN_FLIGHT = 2000


class Traffic:
    """As many queries under way as there may be, and how each of them ended."""

    def __init__(self, manager: WorkerManager, rng: random.Random) -> None:
        self.ends: Counter[str] = Counter()
        self.errors: Counter[str | None] = Counter()
        self.submitted: set[str] = set()
        self._dispatcher = manager.dispatcher
        self._rng = rng
        self._goes_on = True

    async def run(self) -> None:
        """Submit a query for each that ends, until `finish`."""
        for _ in range(NUM_IN_FLIGHT):
            self._submit()
        while self._goes_on:
            item = await self._dispatcher.recv()
            assert item is not None
            self._take(item)

    async def finish(self) -> None:
        """Submit no more, and let what is under way end."""
        self._goes_on = False
        await until(lambda: not self._dispatcher.num_in_flight)
        for item in self._dispatcher.drain():
            self._take(item)

    def _submit(self) -> None:
        query = ask(
            self._rng.choice(["echo", "now"]),
            text="x" * self._rng.choice([10, 1000, 20_000]),
            num_chunks=self._rng.choice([0, 0, 3]),
            delay=self._rng.choice([0.0, 0.0, 0.002]),
        )
        sink = self._take if self._rng.random() < 0.5 else None
        self._dispatcher.submit(query, sink)
        self.submitted.add(query.id)

    def _take(self, item: StreamChunk | QueryResult) -> None:
        assert not self.ends[item.id], "something came after the end"
        if isinstance(item, QueryResult):
            self.ends[item.id] += 1
            self.errors[error_of(item)] += 1
            if self._goes_on:
                self._submit()


async def _kill_many(manager: WorkerManager, rng: random.Random, count: int) -> None:
    killed: set[int] = set()
    while len(killed) < count:
        await asyncio.sleep(rng.uniform(0, 0.05))
        victims = range(NUM_WORKERS)
        if rng.random() < 0.8:
            # Not only those that start, which takes longest.
            await until(lambda: bool(manager.dispatcher.stats().ready_workers))
            victims = manager.dispatcher.stats().ready_workers
        for worker_id in [rng.choice(victims)] if rng.random() < 0.9 else victims:
            pid = manager.worker_pids[worker_id]
            if pid not in killed and manager.workers[worker_id].is_alive():
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_each_query_ends_once_and_none_is_done_twice(
    backend: ModuleType,
    rng: random.Random,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    starts = tmp_path / "starts"
    starts.touch()
    traffic = asyncio.run(_run(rng, starts))
    assert traffic.ends == Counter(traffic.submitted)
    started = Counter(starts.read_text().split())
    assert max(started.values()) == 1
    assert set(started) <= traffic.submitted
    assert set(traffic.errors) <= {None, "worker_died"}


async def _run(rng: random.Random, starts: Path) -> Traffic:
    routings: list[Routing] = ["round_robin", "least_loaded"]
    async with running(
        num_workers=NUM_WORKERS,
        routing=rng.choice(routings),
        max_restarts=1 << 30,
        restart_window=0.05,
        request_timeout=None,
        settings={"starts": str(starts), "concurrency": 64},
    ) as manager:
        traffic = Traffic(manager, rng)
        flow = asyncio.create_task(traffic.run())
        await _kill_many(manager, rng, NUM_WORKER_KILLS)
        await traffic.finish()
        flow.cancel()
        stats = manager.dispatcher.stats()
        restarts = sum(worker.num_restarts for worker in manager.workers)
    sys.stdout.write(
        f"{restarts} restarts, {stats.num_submitted} queries, {stats.num_resent} sent "
        f"again, {traffic.errors['worker_died']} died with their worker\n"
    )
    assert stats.num_late == 0
    return traffic
