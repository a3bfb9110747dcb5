"""Starting and ending the workers of a pool."""

import asyncio
import logging
import os
import signal
import subprocess
import sys

import pytest
from tests.processes.conditions import until, wait_gone
from tests.workers.pools import EchoSettings, ask, error_of, results_of, running, stop

from busduct.errors import (
    ClosedError,
    ConfigError,
    LocalProtocolError,
    WorkerStartError,
)
from busduct.messages import Query
from busduct.transport.pool import ShmTransportConfig
from busduct.workers import AffinityPlan, WorkerManager


async def test_queries_are_answered_by_all_workers(
    pool_backend: str, any_loop: str, no_leaks: None
) -> None:
    async with running(num_workers=3) as manager:
        for number in range(30):
            manager.dispatcher.submit(ask(text=str(number)))
        results = await results_of(manager.dispatcher, 30)
        pids = {result.metadata["pid"] for result in results.values()}
        texts = [r.get_response_output_string() for r in results.values()]
        assert sorted(map(int, texts)) == list(range(30))
        assert pids == set(manager.worker_pids.values())
        assert all(worker.is_alive() for worker in manager.workers)


async def test_pool_in_shared_memory_works_alike(rust: object, no_leaks: None) -> None:
    async with running(transport=ShmTransportConfig(shm_max_bytes=1 << 24)) as manager:
        manager.dispatcher.submit(ask(text="x" * 300_000))
        (result,) = (await results_of(manager.dispatcher, 1)).values()
        assert len(result.get_response_output_string()) == 300_000


async def test_worker_that_ends_at_the_start_is_told_of_with_its_last_words(
    pool_backend: str, no_leaks: None
) -> None:
    manager = WorkerManager(
        EchoSettings(target="dies_at_start", num_workers=2),
        asyncio.get_running_loop(),
    )
    with pytest.raises(WorkerStartError, match="no luck for 1") as caught:
        await manager.initialize()
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.worker_id == "1"
    assert f"pid {manager.worker_pids[1]}" in str(caught.value)
    assert "code 7" in str(caught.value)
    assert not any(worker.is_alive() for worker in manager.workers)
    await manager.shutdown()


async def test_workers_that_never_are_ready_are_a_timeout(
    pool_backend: str, no_leaks: None
) -> None:
    manager = WorkerManager(
        EchoSettings(target="silent", worker_initialization_timeout=0.3),
        asyncio.get_running_loop(),
    )
    with pytest.raises(TimeoutError, match=r"0/2 workers ready"):
        await manager.initialize()
    assert not any(worker.is_alive() for worker in manager.workers)


async def test_target_that_is_not_there_is_told_in_one_line() -> None:
    manager = WorkerManager(EchoSettings(target="nothing"), asyncio.get_running_loop())
    with pytest.raises(WorkerStartError, match="ConfigError: worker_target") as caught:
        await manager.initialize()
    assert "Traceback" not in str(caught.value)


async def test_workers_start_at_once_and_a_cancelled_start_leaves_nothing(
    no_leaks: None,
) -> None:
    settings = EchoSettings(target="silent", num_workers=3)
    manager = WorkerManager(settings, asyncio.get_running_loop())
    start = asyncio.create_task(manager.initialize())
    # None waits for another to be ready, which none ever is.
    await until(lambda: len(manager.worker_pids) == 3)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not any(worker.is_alive() for worker in manager.workers)


async def test_manager_that_never_started_can_be_shut_down(no_leaks: None) -> None:
    manager = WorkerManager(EchoSettings(), asyncio.get_running_loop())
    await manager.shutdown()
    await manager.shutdown()
    with pytest.raises(LocalProtocolError):
        await manager.initialize()


async def test_unknown_routing_leaves_nothing(no_leaks: None) -> None:
    settings = EchoSettings(routing="best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'best'"):
        WorkerManager(settings, asyncio.get_running_loop())


async def test_shutdown_ends_queries_and_keeps_what_has_come(
    pool_backend: str, any_loop: str, no_leaks: None
) -> None:
    async with running() as manager:
        dispatcher = manager.dispatcher
        dispatcher.submit(ask("wait"))
        dispatcher.submit(done := ask())
        await until(lambda: dispatcher.stats().num_untaken == 1)
        waiting = asyncio.create_task(dispatcher.recv())
    first, second = await waiting, await dispatcher.recv()
    assert first is not None
    assert first.id == done.id
    assert second is not None
    assert error_of(second) == "shutdown"  # type: ignore[arg-type]
    assert await dispatcher.recv() is None
    assert dispatcher.poll() is None
    with pytest.raises(ClosedError):
        dispatcher.submit(Query())


async def test_who_waits_for_a_result_is_woken_by_the_shutdown(
    pool_backend: str,
) -> None:
    async with running() as manager:
        waiting = [asyncio.create_task(manager.dispatcher.recv()) for _ in range(3)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [None, None, None]


async def test_worker_that_ignores_the_request_to_end_is_killed(
    no_leaks: None,
) -> None:
    async with running(target="deaf", worker_graceful_shutdown_wait=0.05) as manager:
        manager.dispatcher.submit(ask())
        await results_of(manager.dispatcher, 1)
    codes = [worker.exitcode for worker in manager.workers]
    assert codes == [-signal.SIGKILL] * 2


async def test_stopped_worker_ends_too(no_leaks: None) -> None:
    # The other one may take longer than that to heed the request on a busy machine.
    async with running(num_workers=1, worker_graceful_shutdown_wait=0.05) as manager:
        await stop(manager.worker_pids[0])
    assert manager.workers[0].exitcode == -signal.SIGKILL


async def test_worker_that_heeds_the_request_to_end_is_not_killed(
    no_leaks: None,
) -> None:
    async with running(worker_graceful_shutdown_wait=50.0) as manager:
        pass
    codes = [worker.exitcode for worker in manager.workers]
    assert codes == [-signal.SIGTERM] * 2


def _refuses(manager: WorkerManager) -> bool:
    try:
        manager.dispatcher.submit(ask())
    except ClosedError:
        return True
    return False


async def test_cancelled_shutdown_kills_at_once(no_leaks: None) -> None:
    async with running(target="deaf", worker_graceful_shutdown_wait=30.0) as manager:
        manager.dispatcher.submit(ask())
        await results_of(manager.dispatcher, 1)
        shutdown = asyncio.create_task(manager.shutdown())
        await until(lambda: _refuses(manager))
        shutdown.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shutdown
    assert not any(worker.is_alive() for worker in manager.workers)


async def test_shutdown_twice_at_a_time_waits_for_the_end() -> None:
    async with running() as manager:
        await asyncio.gather(manager.shutdown(), manager.shutdown())
        assert not any(worker.is_alive() for worker in manager.workers)


async def test_unclosed_manager_warns() -> None:
    loop = asyncio.get_running_loop()
    manager = WorkerManager(EchoSettings(num_workers=1), loop)
    await manager.initialize()
    with pytest.warns(ResourceWarning, match="unclosed"):
        manager.__del__()
    await manager.shutdown()


async def test_worker_runs_on_its_cpus_with_all_its_threads() -> None:
    cpu = max(os.sched_getaffinity(0))
    plan = AffinityPlan(worker_cpu_sets=((cpu,),))
    async with running(num_workers=1, cpu_affinity=plan) as manager:
        pid = manager.worker_pids[0]
        threads = os.listdir(f"/proc/{pid}/task")
        assert {cpu} == os.sched_getaffinity(pid)
        assert all({cpu} == os.sched_getaffinity(int(each)) for each in threads)


async def test_what_a_worker_logs_comes_to_this_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "busduct"):
        async with running(num_workers=1) as manager:
            manager.dispatcher.submit(ask("log", text="so it is"))
            await results_of(manager.dispatcher, 1)
            await until(lambda: "worker-0: WARNING target: so it is" in caplog.text)


PARENT = """
import asyncio, sys
from tests.workers.pools import ask, running

async def main():
    async with running(num_workers=3, target="deaf") as manager:
        for number in range(6):
            manager.dispatcher.submit(ask("wait"))
        print(*manager.worker_pids.values(), flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_workers_end_with_their_killed_parent(pool_backend: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 3
    wait_gone(pids)
