"""Workers die: each query ends once, as what its worker had done with it says."""

import asyncio
import errno
import logging
import os
import signal
import time

import pytest
from tests.processes.conditions import until
from tests.workers.pools import ask, error_of, results_of, running, stop

from busduct.errors import EngineDeadError
from busduct.messages import QueryResult, StreamChunk
from busduct.workers import WorkerManager

ALL = range(4)


def kill(manager: WorkerManager, *worker_ids: int) -> list[int]:
    """Kill the processes of workers; return which those were."""
    pids = [manager.worker_pids[worker_id] for worker_id in worker_ids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


async def until_ready(manager: WorkerManager, *, without: list[int]) -> None:
    """Wait until all workers are ready, in other processes than those."""
    everyone = tuple(range(len(manager.workers)))

    def is_renewed() -> bool:
        stats = manager.dispatcher.stats()
        pids = manager.worker_pids.values()
        return stats.ready_workers == everyone and not {*pids} & {*without}

    await until(is_renewed)


async def test_idle_worker_that_dies_is_replaced(
    pool_backend: str, any_loop: str, no_leaks: None
) -> None:
    async with running() as manager:
        pids = kill(manager, 1)
        await until_ready(manager, without=pids)
        assert [worker.num_restarts for worker in manager.workers] == [0, 1]
        for _ in range(20):
            manager.dispatcher.submit(ask())
        results = await results_of(manager.dispatcher, 20)
        found = {result.metadata["pid"] for result in results.values()}
        assert found == set(manager.worker_pids.values())


async def test_unstarted_queries_are_done_by_another_worker(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(settings={"concurrency": 1}) as manager:
        dispatcher = manager.dispatcher
        blocked = [ask("wait") for _ in range(2)]
        others = [ask(text=str(number)) for number in range(40)]
        for query in (*blocked, *others):
            dispatcher.submit(query)
        await until(lambda: all(manager._board.num_started(i) for i in range(2)))
        kill(manager, 0)
        await until(lambda: dispatcher.stats().num_resent == 20)
        dispatcher.cancel(blocked[1].id)
        results = await results_of(dispatcher, 42)
        assert error_of(results[blocked[0].id]) == "worker_died"
        assert error_of(results[blocked[1].id]) == "cancelled"
        texts = [results[each.id].get_response_output_string() for each in others]
        assert texts == [str(number) for number in range(40)]


async def test_next_process_of_a_worker_counts_for_itself(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1, settings={"concurrency": 1}) as manager:
        dispatcher = manager.dispatcher
        for _ in range(10):
            dispatcher.submit(ask())
        await results_of(dispatcher, 10)
        pids = kill(manager, 0)
        await until_ready(manager, without=pids)
        blocked, others = ask("wait"), [ask() for _ in range(10)]
        for query in (blocked, *others):
            dispatcher.submit(query)
        await until(lambda: manager._board.num_started(0) == 1)
        kill(manager, 0)
        results = await results_of(dispatcher, 11)
        assert error_of(results[blocked.id]) == "worker_died"
        assert [error_of(results[query.id]) for query in others] == [None] * 10


async def test_worker_that_cannot_be_replaced_harms_no_other(
    pool_backend: str,
    no_leaks: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_worker_id: int) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    async with running() as manager:
        monkeypatch.setattr(manager.pool_transport, "renew_worker", refuse)
        with caplog.at_level(logging.ERROR, "busduct.workers"):
            kill(manager, 0)
            await until(lambda: manager.workers[0].is_abandoned)
        assert "too many open files" in caplog.text
        manager.dispatcher.submit(ask())
        (result,) = (await results_of(manager.dispatcher, 1)).values()
        assert result.metadata["worker_id"] == 1


async def test_results_sent_before_the_death_are_delivered(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1) as manager:
        dispatcher = manager.dispatcher
        queries = [ask("now", text=str(number)) for number in range(200)]
        for query in (*queries, ask("exit")):
            dispatcher.submit(query)
        results = await results_of(dispatcher, 201)
        errors = [error_of(results[query.id]) for query in queries]
        assert errors == [None] * 200


async def test_stream_that_had_begun_ends_with_worker_died(
    pool_backend: str, no_leaks: None
) -> None:
    items: list[StreamChunk | QueryResult] = []
    async with running(num_workers=1) as manager:
        query = ask("wait", num_chunks=3)
        manager.dispatcher.submit(query, items.append)
        await until(lambda: len(items) == 3)
        kill(manager, 0)
        await until(lambda: len(items) == 4)
    chunks = [item.response_chunk for item in items if isinstance(item, StreamChunk)]
    assert chunks == ["0", "1", "2"]
    assert isinstance(items[-1], QueryResult)
    assert error_of(items[-1]) == "worker_died"
    assert items[-1].metadata == {"worker_id": 0}


async def test_all_workers_killed_at_once_are_replaced(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(
        num_workers=4, max_restarts=8, settings={"concurrency": 1}
    ) as manager:
        dispatcher = manager.dispatcher
        blocked = [ask("wait") for _ in ALL]
        others = [ask() for _ in range(40)]
        for query in (*blocked, *others):
            dispatcher.submit(query)
        await until(lambda: all(manager._board.num_started(i) for i in ALL))
        pids = kill(manager, *ALL)
        results = await results_of(dispatcher, 44)
        assert [error_of(results[q.id]) for q in blocked] == ["worker_died"] * 4
        assert [error_of(results[q.id]) for q in others] == [None] * 40
        await until_ready(manager, without=pids)
        # They were held until there was somebody to send them to.
        assert dispatcher.stats().num_resent >= 40


async def test_queries_come_in_while_no_worker_lives(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1) as manager:
        pids = kill(manager, 0)
        await until(lambda: not manager.dispatcher.stats().ready_workers)
        manager.dispatcher.submit(query := ask(text="later"))
        assert manager.dispatcher.stats().num_held == 1
        (result,) = (await results_of(manager.dispatcher, 1)).values()
        assert result.get_response_output_string() == "later"
        assert result.id == query.id
        assert result.metadata["pid"] not in pids


async def test_worker_killed_while_it_starts_is_started_again(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1) as manager:
        first = kill(manager, 0)
        await until(lambda: manager.worker_pids[0] not in first)
        second = kill(manager, 0)
        await until_ready(manager, without=[*first, *second])
        assert manager.workers[0].num_restarts == 2


async def test_worker_killed_while_the_pool_shuts_down(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(target="deaf", worker_graceful_shutdown_wait=20.0) as manager:
        manager.dispatcher.submit(ask())
        await results_of(manager.dispatcher, 1)
        shutdown = asyncio.create_task(manager.shutdown())
        await asyncio.sleep(0)
        kill(manager, 0, 1)
        began = time.monotonic()
        await shutdown
        assert time.monotonic() - began < 10.0


async def test_when_the_budget_is_used_up_the_others_go_on(
    pool_backend: str, no_leaks: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(max_restarts=0) as manager:
        with caplog.at_level(logging.ERROR, "busduct.workers"):
            kill(manager, 0)
            await until(lambda: manager.workers[0].is_abandoned)
        assert "worker-0 is not started again" in caplog.text
        assert "workers left: 1 of 2" in caplog.text
        assert manager.dispatcher.stats().ready_workers == (1,)
        for _ in range(10):
            manager.dispatcher.submit(ask())
        results = await results_of(manager.dispatcher, 10)
        assert {each.metadata["worker_id"] for each in results.values()} == {1}


async def test_each_worker_has_restarts_of_its_own(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=4, max_restarts=1) as manager:
        kill(manager, 0, 1, 2, 3)
        workers = manager.workers
        await until(lambda: all(worker.num_restarts for worker in workers))
        ready = manager.dispatcher.stats
        await until(lambda: len(ready().ready_workers) == 4)


async def test_when_no_worker_is_left_everything_ends(
    pool_backend: str, any_loop: str, no_leaks: None
) -> None:
    async with running(
        target="dies_when_restarted", settings={"concurrency": 1}
    ) as manager:
        dispatcher = manager.dispatcher
        queries = [ask("wait") for _ in range(10)]
        for query in queries:
            dispatcher.submit(query)
        await until(lambda: all(manager._board.num_started(i) for i in range(2)))
        kill(manager, 0, 1)
        results = await results_of(dispatcher, 10)
        assert {error_of(result) for result in results.values()} == {"worker_died"}
        await until(lambda: all(worker.is_abandoned for worker in manager.workers))
        assert await dispatcher.recv() is None
        with pytest.raises(EngineDeadError, match="no worker is left"):
            dispatcher.submit(ask())


async def test_deadline_of_a_stopped_worker_is_kept(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(
        num_workers=1, request_timeout=0.2, worker_graceful_shutdown_wait=0.05
    ) as manager:
        await stop(manager.worker_pids[0])
        manager.dispatcher.submit(ask())
        manager.dispatcher.submit(ask())
        results = await results_of(manager.dispatcher, 2)
        assert {error_of(result) for result in results.values()} == {"timeout"}


async def test_late_answers_of_a_worker_that_goes_on_are_dropped(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1) as manager:
        await stop(manager.worker_pids[0])
        # The other has all the time it takes: a deadline of both could end it, too.
        manager.dispatcher.submit(ask(timeout=0.2))
        (result,) = (await results_of(manager.dispatcher, 1)).values()
        assert error_of(result) == "timeout"
        os.kill(manager.worker_pids[0], signal.SIGCONT)
        await until(lambda: manager.dispatcher.stats().num_late == 1)
        manager.dispatcher.submit(ask(), (seen := []).append)
        await until(lambda: len(seen) == 1)
        assert error_of(seen[0]) is None


async def test_cancelled_query_ends_at_its_worker_too(
    pool_backend: str, no_leaks: None
) -> None:
    async with running(num_workers=1) as manager:
        manager.dispatcher.submit(query := ask("wait"))
        await until(lambda: manager._board.num_started(0) == 1)
        assert manager.dispatcher.cancel(query.id)
        assert not manager.dispatcher.cancel(query.id)
        (result,) = (await results_of(manager.dispatcher, 1)).values()
        assert error_of(result) == "cancelled"
        await until(lambda: manager.dispatcher.stats().num_late == 1)
