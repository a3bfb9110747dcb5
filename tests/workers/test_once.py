"""Whatever happens in whatever order: no query is done twice, and each ends once."""

import asyncio
import random
from collections import Counter, deque

import pytest
from tests.workers.fake_pool import FakePool

from busduct.errors import FullError
from busduct.messages import Query, QueryResult, StreamChunk
from busduct.workers import Dispatcher
from busduct.workers._routing import Routing

NUM_WORKERS = 3


class Worker:
    """Does with its queries what a worker does, one step at a time."""

    def __init__(
        self, pool: FakePool, inbox: list[Query], starts: Counter[str]
    ) -> None:
        self.num_started = 0
        self._pool = pool
        self._inbox = inbox
        self._starts = starts
        self._busy: deque[str] = deque()

    def step(self, rng: random.Random) -> bool:
        """Start a query, or send something of one; return whether there was any."""
        can_start = self.num_started < len(self._inbox)
        if can_start and (rng.random() < 0.5 or not self._busy):
            query = self._inbox[self.num_started]
            self.num_started += 1
            self._starts[query.id] += 1
            self._busy.append(query.id)
        elif self._busy and rng.random() < 0.3:
            self._pool.answer(StreamChunk(id=self._busy[0]))
        elif self._busy:
            self._busy.rotate(rng.randrange(3))
            self._pool.answer(QueryResult(id=self._busy.popleft()))
        else:
            return False
        return True


class Run:
    """A dispatcher, its workers, and what becomes of the queries."""

    def __init__(self, rng: random.Random, routing: Routing) -> None:
        self.rng = rng
        self.pool = FakePool(NUM_WORKERS, capacity=rng.choice([3, 10, 1 << 30]))
        self.dispatcher = Dispatcher(
            self.pool,  # type: ignore[arg-type]
            NUM_WORKERS,
            asyncio.get_running_loop(),
            routing=routing,
        )
        self.starts: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.submitted: list[str] = []
        self.workers: dict[int, Worker] = {}
        for worker_id in range(NUM_WORKERS):
            self.revive(worker_id)

    def revive(self, worker_id: int) -> None:
        if worker_id not in self.workers:
            inbox = self.pool.sent[worker_id] = []
            self.workers[worker_id] = Worker(self.pool, inbox, self.starts)
            self.dispatcher.note_ready(worker_id)

    async def kill(self, worker_id: int) -> None:
        if (worker := self.workers.pop(worker_id, None)) is not None:
            if self.rng.random() < 0.5:
                # Nobody has noticed yet.
                self.submit()
            self.dispatcher.note_lost(worker_id)
            await self.dispatcher.settle(
                worker_id, lambda: worker.num_started, "killed"
            )

    def submit(self) -> None:
        query = Query(id=str(len(self.submitted)))
        sink = self.take if self.rng.random() < 0.5 else None
        try:
            self.dispatcher.submit(query, sink)
        except FullError:
            return
        self.submitted.append(query.id)

    def cancel(self) -> None:
        if self.submitted:
            self.dispatcher.cancel(self.rng.choice(self.submitted[-20:]))

    def take(self, item: StreamChunk | QueryResult) -> None:
        assert not self.ends[item.id], "something came after the end"
        self.ends[item.id] += isinstance(item, QueryResult)

    async def step(self) -> None:
        worker_id = self.rng.randrange(NUM_WORKERS)
        match self.rng.choices(
            ["submit", "work", "cancel", "kill", "revive", "take"], [8, 12, 1, 1, 2, 4]
        )[0]:
            case "submit":
                self.submit()
            case "work" if worker_id in self.workers:
                self.workers[worker_id].step(self.rng)
            case "cancel":
                self.cancel()
            case "kill":
                await self.kill(worker_id)
            case "revive":
                self.revive(worker_id)
            case "take":
                for item in self.dispatcher.drain(self.rng.randrange(5)):
                    self.take(item)

    def finish(self) -> None:
        """Have everything done."""
        for worker_id in range(NUM_WORKERS):
            self.revive(worker_id)
        self.pool.capacity = 1 << 30
        while True:
            self.dispatcher._outgoing.flush()
            busy = [worker.step(self.rng) for worker in self.workers.values()]
            items = self.dispatcher.drain()
            for item in items:
                self.take(item)
            if not any(busy) and not items:
                return


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded"])
@pytest.mark.parametrize("seed", range(20))
async def test_no_query_is_done_twice_and_each_ends_once(
    seed: int, routing: Routing
) -> None:
    run = Run(random.Random(seed), routing)
    for _ in range(2000):
        await run.step()
    run.finish()
    assert len(run.submitted) > 100
    assert run.ends == Counter(run.submitted)
    assert max(run.starts.values()) == 1
    assert run.dispatcher._ledger.entries == {}
    assert run.dispatcher.num_in_flight == 0
    run.dispatcher.close()
