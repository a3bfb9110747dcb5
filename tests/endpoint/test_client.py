"""The endpoint client, with real workers and a real server: results and their ways."""

import asyncio
import collections
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import ModuleType

import pytest
from tests.endpoint.serving import (
    NEVER,
    config_of,
    error_of,
    query,
    run_in,
    serving,
    text_of,
)
from tests.processes.conditions import until

from busduct import _result_queue
from busduct._loop_thread import LoopThread
from busduct.endpoint import HTTPEndpointClient
from busduct.endpoint.echo import Delay, EchoServer
from busduct.errors import (
    FullError,
    LocalProtocolError,
    QueryError,
    QueryTimeoutError,
    WaitTimeoutError,
)
from busduct.messages import Query, QueryResult, StreamChunk

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def chosen(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process and the workers use a backend; the test runs on both."""
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)


@pytest.fixture
def stalled() -> Iterator[EchoServer]:
    """A server whose streams stop after the first character."""
    with serving(tpot=NEVER) as server:
        yield server


@pytest.mark.usefixtures("chosen")
def test_a_hundred_queries_end_once_each_with_their_own_answer(
    echo: EchoServer,
) -> None:
    queries = [query(f"question {number}") for number in range(100)]
    with HTTPEndpointClient(config_of(echo, num_workers=2)) as client:
        for each in queries:
            client.issue(each)
        results = [client.recv_blocking(20.0) for _ in queries]
        assert client.poll() is None
    answers = {result.id: text_of(result) for result in results if result}
    assert answers == {each.id: each.data["prompt"] for each in queries}
    workers = {result.metadata["worker_id"] for result in results if result}
    assert workers == {0, 1}


@pytest.mark.usefixtures("chosen")
async def test_the_callers_loop_can_look_after_the_workers(
    any_loop: str, echo: EchoServer
) -> None:
    async with await HTTPEndpointClient.create(config_of(echo)) as client:
        assert client.loop is asyncio.get_running_loop()
        client.issue(query("issued"))
        assert text_of(await client.recv()) == "issued"
        assert text_of(await client.request(query("requested"))) == "requested"
        stream = client.stream(query("streamed"))
        chunks = [chunk.response_chunk async for chunk in stream]
        assert "".join(chunks) == "streamed"
        assert len(chunks) == len("streamed")


@pytest.mark.usefixtures("chosen")
async def test_a_client_with_a_loop_of_its_own_is_awaited_from_another(
    any_loop: str, echo: EchoServer
) -> None:
    async with HTTPEndpointClient(config_of(echo)) as client:
        assert client.loop is not asyncio.get_running_loop()
        for number in range(50):
            client.issue(query(str(number)))
        results = [await client.recv() for _ in range(50)]
        assert sorted(int(text_of(result)) for result in results) == list(range(50))
        assert text_of(await client.request(query("requested"))) == "requested"
        stream = client.stream(query("streamed"))
        chunks = [chunk.response_chunk async for chunk in stream]
        assert "".join(chunks) == "streamed"
        assert len(chunks) == len("streamed")


def test_a_loop_of_another_thread_can_look_after_the_workers(
    echo: EchoServer,
) -> None:
    thread = LoopThread("callers-loop")
    try:
        with HTTPEndpointClient(config_of(echo), thread.loop) as client:
            assert client.loop is thread.loop
            client.issue(query("issued"))
            assert text_of(client.recv_blocking(20.0)) == "issued"
        assert thread.loop.is_running()
    finally:
        thread.stop()
        thread.join()


async def test_requests_are_awaited_from_many_loops_at_once(echo: EchoServer) -> None:
    with HTTPEndpointClient(config_of(echo)) as client:

        async def ask(prefix: str) -> list[str]:
            asked = [client.request(query(f"{prefix}{n}")) for n in range(50)]
            return [text_of(result) for result in await asyncio.gather(*asked)]

        def in_a_loop(prefix: str) -> list[str]:
            return asyncio.run(ask(prefix))

        with ThreadPoolExecutor(3) as threads:
            answers = list(await asyncio.to_thread(threads.map, in_a_loop, "abc"))
    assert answers == [[f"{prefix}{n}" for n in range(50)] for prefix in "abc"]


async def test_who_polls_in_the_clients_loop_without_leaving_it_gets_results(
    echo: EchoServer,
) -> None:
    async with await HTTPEndpointClient.create(config_of(echo)) as client:
        client.issue(query("polled"))
        while (result := client.poll()) is None:
            pass
        assert text_of(result) == "polled"


def test_drain_takes_what_is_there(echo: EchoServer) -> None:
    with HTTPEndpointClient(config_of(echo)) as client:
        assert client.drain() == []
        for number in range(5):
            client.issue(query(str(number)))
        results = [client.recv_blocking(20.0)]
        while len(results) < 4:
            results += client.drain(max_n=4 - len(results))
        results.append(client.recv_blocking(20.0))
        assert sorted(text_of(result) for result in results) == list("01234")


def test_one_connection_is_used_in_the_order_issued(echo: EchoServer) -> None:
    with HTTPEndpointClient(config_of(echo, max_connections=1)) as client:
        for number in range(200):
            client.issue(query(str(number)))
        results = [text_of(client.recv_blocking(20.0)) for _ in range(200)]
    assert results == [str(number) for number in range(200)]


def test_only_the_first_chunk_of_an_issued_stream_comes_unless_all_are_wanted(
    echo: EchoServer,
) -> None:
    streamed = query("abc", data={"stream": True})
    for wants_all, num_chunks in ((False, 1), (True, 3)):
        config = config_of(echo, stream_all_chunks=wants_all)
        with HTTPEndpointClient(config) as client:
            client.issue(streamed)
            items = [client.recv_blocking(20.0) for _ in range(num_chunks + 1)]
        assert all(isinstance(item, StreamChunk) for item in items[:-1])
        assert text_of(items[-1]) == "abc"


def test_each_url_is_asked_by_its_workers() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving()) for _ in range(2)]
        client = stack.enter_context(
            HTTPEndpointClient(config_of(*servers, num_workers=4))
        )
        for number in range(8):
            client.issue(query(str(number)))
        for _ in range(8):
            text_of(client.recv_blocking(20.0))
        assert [server.num_requests for server in servers] == [4, 4]


async def test_an_error_of_the_endpoint_is_a_result_or_raised() -> None:
    with (
        serving(error_rate=1.0, error_status=429) as server,
        HTTPEndpointClient(config_of(server)) as client,
    ):
        result = await client.request(query("refused"))
        assert result.error is not None
        assert (result.error.error_type, result.error.status) == ("http", 429)
        with pytest.raises(QueryError) as caught:
            await client.request(query("refused"), raise_on_error=True)
        assert (caught.value.error_type, caught.value.status) == ("http", 429)
        stream = client.stream(query("refused"))
        with pytest.raises(QueryError) as caught:
            await anext(stream)
        assert caught.value.status == 429
        assert stream.result is not None


async def test_cancelling_a_request_closes_its_connection(silent: EchoServer) -> None:
    async with await HTTPEndpointClient.create(config_of(silent)) as client:
        task = asyncio.create_task(client.request(query("never")))
        await until(lambda: silent.num_requests == 1)
        assert silent.num_connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: silent.num_connections == 0)
        assert client.stats().failures == {"cancelled": 1}
        await until(lambda: client.stats().num_late == 1)


async def test_leaving_a_stream_closes_its_connection(stalled: EchoServer) -> None:
    with HTTPEndpointClient(config_of(stalled)) as client:
        async for chunk in client.stream(query("abc")):
            assert chunk.response_chunk == "a"
            assert stalled.num_connections == 1
            break
        await until(lambda: stalled.num_connections == 0)
        assert client.stats().failures == {"cancelled": 1}


async def test_a_stream_that_is_dropped_is_cancelled_in_a_later_turn(
    silent: EchoServer,
) -> None:
    async with await HTTPEndpointClient.create(config_of(silent)) as client:
        stream = client.stream(query("never"))
        del stream
        # It may be dropped by a collection of garbage amid work of the client's.
        assert client.stats().failures == {}
        await until(lambda: client.stats().failures == {"cancelled": 1})


async def test_a_query_is_cancelled_by_its_id(silent: EchoServer) -> None:
    with HTTPEndpointClient(config_of(silent)) as client:
        asked = query("never")
        client.issue(asked)
        await until(lambda: silent.num_requests == 1)
        assert client.cancel(asked.id)
        assert error_of(await client.recv()) == "cancelled"
        assert not client.cancel(asked.id)
        assert not client.cancel("no such query")
        await until(lambda: silent.num_connections == 0)


async def test_a_deadline_is_a_querys_own_or_the_clients(silent: EchoServer) -> None:
    with HTTPEndpointClient(config_of(silent, request_timeout=0.2)) as client:
        assert error_of(await client.request(query("never"))) == "timeout"
        with pytest.raises(QueryTimeoutError):
            await client.request(query("never", timeout=0.1), raise_on_error=True)
        with pytest.raises(TimeoutError):
            async for _ in client.stream(query("never", timeout=0.1)):
                pass
        await until(lambda: silent.num_connections == 0)


async def test_a_stream_ends_at_its_deadline_with_what_came(
    stalled: EchoServer,
) -> None:
    with HTTPEndpointClient(config_of(stalled)) as client:
        # Long enough for the first piece to come, however busy the machine is.
        stream = client.stream(query("abc", timeout=3.0))
        assert (await anext(stream)).response_chunk == "a"
        with pytest.raises(QueryTimeoutError):
            await anext(stream)


def test_a_thread_waits_no_longer_than_it_says(silent: EchoServer) -> None:
    with HTTPEndpointClient(config_of(silent)) as client:
        client.issue(query("never"))
        with pytest.raises(WaitTimeoutError):
            client.recv_blocking(0.05)


async def test_blocking_the_clients_loop_is_refused_with_the_way_to_do_it(
    echo: EchoServer,
) -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(LocalProtocolError, match=r"await HTTPEndpointClient\.create"):
        HTTPEndpointClient(config_of(echo), loop)
    async with await HTTPEndpointClient.create(config_of(echo), loop) as client:
        with pytest.raises(LocalProtocolError, match=r"await client\.shutdown_async"):
            client.shutdown()
        with pytest.raises(LocalProtocolError, match=r"await client\.recv"):
            client.recv_blocking(1.0)
        # All is as it was.
        assert text_of(await client.request(query("still there"))) == "still there"


def test_more_than_the_limit_and_an_id_under_way_are_refused(
    silent: EchoServer,
) -> None:
    with HTTPEndpointClient(config_of(silent, max_queued=2)) as client:
        client.issue(Query(id="a", data={"prompt": "x"}))
        with pytest.raises(LocalProtocolError, match="'a' is under way"):
            client.issue(Query(id="a", data={"prompt": "x"}))
        client.issue(query("x"))
        with pytest.raises(FullError, match="2 queries"):
            client.issue(query("x"))
        client.cancel("a")
        assert error_of(client.recv_blocking(20.0)) == "cancelled"
        client.issue(query("x"))


@pytest.mark.parametrize("data", [{"prompt": object()}, {"no": "prompt"}])
def test_a_query_that_cannot_be_encoded_ends_alone(
    data: dict[str, object], echo: EchoServer
) -> None:
    with HTTPEndpointClient(config_of(echo)) as client:
        client.issue(Query(id="bad", data=data))
        client.issue(query("good"))
        results = {}
        for _ in range(2):
            result = client.recv_blocking(20.0)
            assert isinstance(result, QueryResult)
            results[result.id] = result
        assert error_of(results.pop("bad")) == "request"
        assert text_of(*results.values()) == "good"


def test_results_that_nobody_takes_wait_with_the_workers(
    echo: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_result_queue, "HIGH", 10)
    monkeypatch.setattr(_result_queue, "LOW", 5)
    with HTTPEndpointClient(config_of(echo)) as client:
        for number in range(2000):
            client.issue(query(str(number)))
        run_in(client.loop, lambda: until(lambda: echo.num_requests == 2000))
        # What was read when the limit came is one batch at most.
        assert client.stats().num_untaken < 600
        results = {text_of(client.recv_blocking(20.0)) for _ in range(2000)}
    assert results == {str(number) for number in range(2000)}


@pytest.mark.usefixtures("chosen")
def test_every_query_of_a_killed_worker_ends_once() -> None:
    # Slow enough that some wait for a connection, and so were not started.
    with (
        serving(ttft=Delay(mean=0.05)) as server,
        HTTPEndpointClient(
            config_of(server, num_workers=2, max_connections=8)
        ) as client,
    ):
        queries = [query(f"question {number}") for number in range(200)]
        for each in queries:
            client.issue(each)
        results = [client.recv_blocking(20.0) for _ in range(10)]
        os.kill(client.worker_manager.worker_pids[0], signal.SIGKILL)
        results += [client.recv_blocking(20.0) for _ in range(190)]
        assert client.poll() is None
        ids = collections.Counter(result.id for result in results if result)
        assert ids == collections.Counter(each.id for each in queries)
        failed = [r for r in results if isinstance(r, QueryResult) and r.error]
        # Those on the dead worker's four connections, and those whose answers it still
        # had to send: some turns of its loop. It had been sent 90 more.
        assert {error_of(result) for result in failed} <= {"worker_died"}
        assert len(failed) <= 16
        statistics = client.stats()
        assert statistics.num_resent > 0
        assert statistics.num_failed == len(failed)


async def test_the_counters_tell_what_became_of_the_queries(
    stalled: EchoServer,
) -> None:
    with HTTPEndpointClient(config_of(stalled)) as client:
        await client.request(query("a"))
        client.issue(query("b"))
        asked = query("never")
        client.issue(asked)
        client.issue(query("cut short", timeout=0.1))
        await until(lambda: client.stats().num_in_flight == 1)
        client.cancel(asked.id)
        await until(lambda: client.stats().num_in_flight == 0)
        statistics = client.stats()
        assert (statistics.num_issued, statistics.num_completed) == (4, 2)
        assert statistics.num_failed == 2
        assert statistics.failures == {"timeout": 1, "cancelled": 1}
        assert statistics.num_untaken == 3
        assert (statistics.num_dropped, statistics.num_resent) == (0, 0)
        (worker,) = statistics.workers
        assert (worker.worker_id, worker.is_ready) == (0, True)
        assert worker.pid == client.worker_manager.worker_pids[0]
        # Those that were given up ended before the worker was asked.
        assert worker.num_results == 2
        os.kill(client.worker_manager.worker_pids[0], signal.SIGKILL)
        await until(lambda: client.stats().num_restarts == 1)
        assert client.stats().workers[0].num_restarts == 1


def test_many_threads_issue_and_take_at_once(echo: EchoServer) -> None:
    with HTTPEndpointClient(config_of(echo, num_workers=2)) as client:
        taken: list[str] = []
        lock = threading.Lock()

        def issue(prefix: str) -> None:
            for number in range(100):
                client.issue(query(f"{prefix}{number}"))

        def take() -> None:
            for _ in range(100):
                text = text_of(client.recv_blocking(20.0))
                with lock:
                    taken.append(text)

        with ThreadPoolExecutor(8) as threads:
            work = [threads.submit(issue, prefix) for prefix in "abcd"]
            work += [threads.submit(take) for _ in range(4)]
            for each in work:
                each.result()
    assert sorted(taken) == sorted(f"{p}{n}" for p in "abcd" for n in range(100))
