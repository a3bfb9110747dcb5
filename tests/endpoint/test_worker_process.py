"""A worker as the process that it is: started, asked, signalled."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from tests.endpoint.http_server import (
    STREAM_HEAD,
    Peer,
    serving,
)
from tests.endpoint.worker_faces import ask, say_hello, texts
from tests.processes.conditions import until

from busduct.endpoint import HTTPClientConfig
from busduct.messages import Query, QueryResult
from busduct.workers import WorkerManager

pytestmark = pytest.mark.usefixtures("no_leaks")


async def answers(manager: WorkerManager, *queries: Query) -> list[QueryResult]:
    for query in queries:
        manager.dispatcher.submit(query)
    found = [await manager.dispatcher.recv() for _ in queries]
    assert all(isinstance(each, QueryResult) for each in found)
    return found  # type: ignore[return-value]


def config_of(url: str, **settings: Any) -> HTTPClientConfig:
    return HTTPClientConfig(
        **{
            "endpoint_urls": (url,),
            "num_workers": 1,
            "max_connections": 4,
            "warmup_connections": 1,
            "worker_graceful_shutdown_wait": 50.0,
            **settings,
        }
    )


@pytest.mark.parametrize("gc_mode", ["disabled", "relaxed", "system"])
async def test_worker_process_answers(gc_mode: str) -> None:
    async with serving(say_hello) as server:
        config = config_of(server.url, worker_gc_mode=gc_mode)
        manager = WorkerManager(config, asyncio.get_running_loop())
        await manager.initialize()
        try:
            found = await answers(manager, *(ask(str(n)) for n in range(50)))
            assert {each.id for each in found} == {str(n) for n in range(50)}
            assert {texts(each) for each in found} == {"hello"}
        finally:
            await manager.shutdown()
        assert [each.exitcode for each in manager.workers] == [0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_worker_process_ends_when_signalled(number: signal.Signals) -> None:
    async with serving(say_hello) as server:
        config = config_of(server.url, max_restarts=0)
        manager = WorkerManager(config, asyncio.get_running_loop())
        await manager.initialize()
        try:
            await answers(manager, ask("a"))
            os.kill(manager.worker_pids[0], number)
            await until(lambda: manager.workers[0].exitcode is not None)
            assert manager.workers[0].exitcode == 0
            await until(lambda: server.num_open == 0)
        finally:
            await manager.shutdown()


async def test_queries_of_a_killed_worker_end_exactly_once() -> None:
    async with serving(say_hello) as server:
        config = config_of(server.url, num_workers=2, max_restarts=10)
        manager = WorkerManager(config, asyncio.get_running_loop())
        await manager.initialize()
        try:
            queries = [ask(str(n)) for n in range(2000)]
            for query in queries:
                manager.dispatcher.submit(query)
            os.kill(manager.worker_pids[0], signal.SIGKILL)
            found = [await manager.dispatcher.recv() for _ in queries]
            assert sorted(each.id for each in found if each) == sorted(
                query.id for query in queries
            )
            errors = {
                each.error.error_type
                for each in found
                if isinstance(each, QueryResult) and each.error is not None
            }
            assert errors <= {"worker_died"}
        finally:
            await manager.shutdown()


async def test_query_that_the_endpoint_stalls_ends_at_its_timeout() -> None:
    async def script(peer: Peer) -> None:
        if peer.index:
            await say_hello(peer)
        await peer.request()
        await peer.write(STREAM_HEAD)
        await peer.gone()

    async with serving(script) as server:
        config = config_of(server.url, max_connections=1)
        manager = WorkerManager(config, asyncio.get_running_loop())
        await manager.initialize()
        try:
            # Long enough for the request to be at the endpoint by then.
            query = Query(id="a", data={"prompt": "x", "stream": True}, timeout=2.0)
            (result,) = await answers(manager, query)
            assert result.error is not None
            assert result.error.error_type == "timeout"
            # Its connection is closed, which makes room for another.
            await until(lambda: server.num_open == 0)
            (result,) = await answers(manager, ask("b"))
            assert (result.error, texts(result)) == (None, "hello")
        finally:
            await manager.shutdown()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("disabled", "False (700, 10, 10)"),
        ("relaxed", "True (50000, 20, 100)"),
        ("system", "True (700, 10, 10)"),
    ],
)
def test_garbage_is_collected_as_configured(mode: str, expected: str) -> None:
    program = (
        "import gc; gc.set_threshold(700, 10, 10)\n"
        "from busduct.endpoint._worker import _set_gc\n"
        f"_set_gc({mode!r})\n"
        "print(gc.isenabled(), gc.get_threshold())\n"
        "assert gc.get_freeze_count() > 1000"
    )
    assert run(program).stdout.strip() == expected


def test_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['httptools'] = None; import busduct.endpoint._worker"
    )
    found = run(program)
    assert found.returncode == 1
    assert "ImportError" in found.stderr
    assert "pip install 'busduct[endpoint]'" in found.stderr


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
