"""The start and the end of an endpoint client: whoever asks, however often."""

import asyncio
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.endpoint.serving import (
    config_of,
    error_of,
    query,
    run_in,
    text_of,
    thread_names,
)
from tests.processes.conditions import children, until

from busduct import _loop_thread
from busduct._loop_thread import LoopThread
from busduct.endpoint import HTTPEndpointClient
from busduct.endpoint.echo import EchoServer
from busduct.errors import (
    ClosedError,
    ConfigError,
    ForkedError,
    LocalProtocolError,
    WorkerStartError,
)

pytestmark = pytest.mark.usefixtures("no_leaks")


def die_at_once(start: Any) -> None:
    """Be a worker that does not get ready."""
    raise SystemExit(3)


def client_threads() -> set[str]:
    return {name for name in thread_names() if name.startswith("busduct-client")}


def test_after_the_end_queries_are_dropped_and_the_rest_can_be_taken(
    silent: EchoServer,
) -> None:
    client = HTTPEndpointClient(config_of(silent))
    client.issue(query("never"))
    client.issue(query("never"))
    client.shutdown()
    client.issue(query("too late"))
    client.issue(query("too late"))
    assert client.dropped == 2
    assert error_of(client.recv_blocking(20.0)) == "shutdown"
    assert error_of(asyncio.run(client.recv())) == "shutdown"
    assert client.recv_blocking(20.0) is None
    assert asyncio.run(client.recv()) is None
    assert (client.poll(), client.drain()) == (None, [])
    assert not client.cancel("any")
    statistics = client.stats()
    assert (statistics.num_dropped, statistics.failures) == (2, {"shutdown": 2})
    assert client_threads() == set()


async def test_after_the_end_requests_and_streams_are_refused(
    echo: EchoServer,
) -> None:
    async with await HTTPEndpointClient.create(config_of(echo)) as client:
        pass
    with pytest.raises(ClosedError, match="client is closed"):
        await client.request(query("too late"))
    with pytest.raises(ClosedError, match="client is closed"):
        client.stream(query("too late"))


async def test_the_end_wakes_all_that_wait(silent: EchoServer) -> None:
    client = HTTPEndpointClient(config_of(silent))
    with ThreadPoolExecutor(1) as threads:
        blocked = threads.submit(client.recv_blocking)
        receiving = asyncio.create_task(client.recv())
        requesting = asyncio.create_task(client.request(query("never")))
        reading = asyncio.create_task(_read(client))
        await until(lambda: silent.num_requests == 2)
        await client.shutdown_async()
        assert await receiving is None
        assert error_of(await requesting) == "shutdown"
        assert await reading == "shutdown"
        assert blocked.result(20.0) is None


async def _read(client: HTTPEndpointClient) -> str:
    stream = client.stream(query("never"))
    try:
        async for _ in stream:
            pass
    except Exception:
        assert stream.result is not None
        return error_of(stream.result)
    return "complete"


async def test_the_end_may_be_asked_for_by_many_at_once(echo: EchoServer) -> None:
    client = HTTPEndpointClient(config_of(echo))
    with ThreadPoolExecutor(4) as threads:
        loop = asyncio.get_running_loop()
        blocking = [loop.run_in_executor(threads, client.shutdown) for _ in range(4)]
        others = [client.shutdown_async() for _ in range(4)]
        await asyncio.gather(*blocking, *others)
    client.shutdown()
    await client.shutdown_async()
    assert client_threads() == set()


async def test_the_end_in_the_callers_loop_may_be_asked_for_by_many_at_once(
    echo: EchoServer,
) -> None:
    client = await HTTPEndpointClient.create(config_of(echo))
    blocking = [asyncio.to_thread(client.shutdown) for _ in range(3)]
    await asyncio.gather(*blocking, *(client.shutdown_async() for _ in range(3)))
    # Done already: there is nothing to wait for.
    client.shutdown()


async def test_cancelling_the_end_does_not_stop_it(echo: EchoServer) -> None:
    client = HTTPEndpointClient(config_of(echo))
    # While the client's loop is busy, the end has not begun.
    may_go_on = threading.Event()
    client.loop.call_soon_threadsafe(may_go_on.wait)
    ending = asyncio.create_task(client.shutdown_async())
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(ending, 20.0)
    may_go_on.set()
    await client.shutdown_async()
    assert client_threads() == set()


def test_work_in_the_clients_own_loop_can_end_it(echo: EchoServer) -> None:
    client = HTTPEndpointClient(config_of(echo))
    run_in(client.loop, client.shutdown_async)
    client.shutdown()
    assert client_threads() == set()


async def test_a_start_that_is_cancelled_leaves_nothing(echo: EchoServer) -> None:
    # However quick the machine is, its worker is not ready when it is cancelled.
    config = config_of(echo, worker_target="tests.workers.targets:silent")
    starting = asyncio.create_task(HTTPEndpointClient.create(config))
    before = len(children())
    await until(lambda: len(children()) > before)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


def test_a_worker_that_does_not_start_is_told_and_nothing_is_left(
    echo: EchoServer,
) -> None:
    config = config_of(echo, worker_target=f"{__name__}:die_at_once")
    with pytest.raises(WorkerStartError) as caught:
        HTTPEndpointClient(config)
    assert isinstance(caught.value, RuntimeError)
    assert client_threads() == set()
    with pytest.raises(WorkerStartError):
        asyncio.run(HTTPEndpointClient.create(config))


def test_a_setting_that_is_wrong_is_told_and_nothing_is_left(
    echo: EchoServer,
) -> None:
    with pytest.raises(ConfigError, match="endpoint_urls is empty"):
        HTTPEndpointClient(config_of(num_workers=1))
    with pytest.raises(ConfigError, match="cannot be imported"):
        HTTPEndpointClient(config_of(echo, accumulator="no_such:Accumulator"))
    assert client_threads() == set()


def test_a_loop_that_does_not_run_is_refused(
    echo: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop_thread, "BEGIN_SECONDS", 0.05)
    loop = asyncio.new_event_loop()
    with pytest.raises(LocalProtocolError, match="must be running in its thread"):
        HTTPEndpointClient(config_of(echo), loop)
    loop.close()
    with pytest.raises(LocalProtocolError, match="loop is closed"):
        HTTPEndpointClient(config_of(echo), loop)


def test_a_client_whose_loop_stopped_can_end_when_it_runs_again(
    echo: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop_thread, "BEGIN_SECONDS", 0.05)
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(HTTPEndpointClient.create(config_of(echo)))
    with pytest.raises(LocalProtocolError, match="must be running in its thread"):
        client.shutdown()
    loop.run_until_complete(client.shutdown_async())
    client.shutdown()
    loop.close()


async def test_a_loop_that_is_only_busy_is_waited_for(
    echo: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop_thread, "BEGIN_SECONDS", 0.01)
    client = HTTPEndpointClient(config_of(echo))
    may_go_on = threading.Event()
    client.loop.call_soon_threadsafe(may_go_on.wait)
    ending = asyncio.create_task(asyncio.to_thread(client.shutdown))
    await asyncio.sleep(0.1)
    assert not ending.done()
    may_go_on.set()
    await ending
    assert client_threads() == set()


async def test_create_is_for_the_running_loop(echo: EchoServer) -> None:
    other = asyncio.new_event_loop()
    with pytest.raises(LocalProtocolError, match="create is for the running loop"):
        await HTTPEndpointClient.create(config_of(echo), other)
    other.close()


def test_a_forked_process_is_told_that_the_client_is_not_its_own(
    echo: EchoServer,
) -> None:
    with HTTPEndpointClient(config_of(echo)) as client:
        calls = [
            lambda: client.issue(query("x")),
            client.poll,
            client.drain,
            lambda: client.recv_blocking(1.0),
            lambda: asyncio.run(client.request(query("x"))),
            lambda: client.cancel("x"),
            client.shutdown,
        ]
        assert _in_fork(lambda: all(_is_refused(call) for call in calls))
        assert text_of(asyncio.run(client.request(query("mine")))) == "mine"


def _is_refused(call: Any) -> bool:
    try:
        call()
    except ForkedError:
        return True
    return False


def _in_fork(check: Any) -> bool:
    with warnings.catch_warnings():
        # There are threads, which is what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def test_a_client_that_is_forgotten_warns_and_ends(echo: EchoServer) -> None:
    clients = [HTTPEndpointClient(config_of(echo))]
    with pytest.warns(ResourceWarning, match="unclosed .*HTTPEndpointClient"):
        clients.clear()
    await until(lambda: client_threads() == set())


def test_a_with_block_ends_the_client(echo: EchoServer) -> None:
    with HTTPEndpointClient(config_of(echo)) as client:
        assert threading.active_count() > 2
    assert client.recv_blocking(1.0) is None
    assert client_threads() == set()


def test_a_loop_thread_ends_by_being_stopped() -> None:
    thread = LoopThread("mine")
    assert thread.loop.is_running()
    thread.stop()
    thread.join()
    thread.stop()
    assert thread.loop.is_closed()
    assert "mine" not in thread_names()
