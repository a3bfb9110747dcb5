"""What the client does where its workers refuse or fail."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.processes.conditions import until

from busduct import _result_queue
from busduct.endpoint import HTTPClientConfig, _core
from busduct.endpoint._core import ClientCore
from busduct.errors import ConfigError, EngineDeadError, FullError, LocalProtocolError
from busduct.messages import ErrorData, Query, QueryResult, StreamChunk


class FakeDispatcher:
    """Takes queries, and ends them when the test says so."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.taken: dict[str, tuple[Query, Callable[[Any], object]]] = {}
        self.order: list[str] = []
        self.is_reading = True

    def submit(
        self, query: Query, sink: Callable[[Any], object], *, wait: bool
    ) -> None:
        self.may_wait = wait
        if self.refusal is not None:
            raise self.refusal
        self.taken[query.id] = query, sink
        self.order.append(query.id)

    def cancel(self, query_id: str) -> bool:
        if query_id not in self.taken:
            return False
        self.end(query_id, ErrorData(error_type="cancelled"))
        return True

    def end(self, query_id: str, error: ErrorData | None = None) -> None:
        _, sink = self.taken.pop(query_id)
        sink(QueryResult(id=query_id, error=error))

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class FakeManager:
    def __init__(self, config: HTTPClientConfig, loop: Any) -> None:
        self.dispatcher = FakeDispatcher()

    async def initialize(self) -> None:
        pass

    async def shutdown(self) -> None:
        for query_id in list(self.dispatcher.taken):
            self.dispatcher.end(query_id, ErrorData(error_type="shutdown"))


@pytest.fixture(autouse=True)
def fake_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "WorkerManager", FakeManager)


def open_core(**settings: Any) -> tuple[ClientCore, FakeDispatcher]:
    config = HTTPClientConfig(endpoint_urls=["http://h"], num_workers=1, **settings)
    core = ClientCore(config, asyncio.get_running_loop())
    dispatcher: Any = core.manager.dispatcher
    return core, dispatcher


def issue(core: ClientCore, *ids: str, timeout: float | None = None) -> None:
    for query_id in ids:
        core.submit(Query(id=query_id, timeout=timeout), core.results.put)


def ends_of(core: ClientCore) -> dict[str, str | None]:
    return {
        item.id: item.error and item.error.error_type
        for item in core.results.drain(None)
        if isinstance(item, QueryResult)
    }


async def test_queries_wait_for_room_with_the_workers() -> None:
    core, dispatcher = open_core()
    issue(core, "a", "b")
    assert dispatcher.order == ["a", "b"]
    assert dispatcher.may_wait


@pytest.mark.parametrize(
    ("refusal", "error_type"),
    [
        (EngineDeadError("worker pool", "no worker is left"), "worker_died"),
        (TypeError("Encoding objects of type object is unsupported"), "request"),
        (LocalProtocolError("a query of id 'a' is under way"), "request"),
    ],
)
async def test_a_query_that_the_workers_refuse_ends_with_the_reason(
    refusal: Exception, error_type: str
) -> None:
    core, dispatcher = open_core()
    dispatcher.refusal = refusal
    issue(core, "a", "b")
    (first, second) = core.results.drain(None)
    for result in (first, second):
        assert isinstance(result, QueryResult)
        assert result.error is not None
        assert result.error.error_type == error_type
        assert str(refusal) in result.error.error_message


async def test_no_more_than_the_limit_is_under_way() -> None:
    core, dispatcher = open_core(max_queued=2)
    issue(core, "a", "b")
    with pytest.raises(FullError, match="2 queries"):
        issue(core, "c")
    dispatcher.end("a")
    issue(core, "c")
    assert dispatcher.order == ["a", "b", "c"]


async def test_an_id_that_is_under_way_is_refused_and_one_that_ended_is_not() -> None:
    core, dispatcher = open_core()
    issue(core, "a")
    with pytest.raises(LocalProtocolError, match="'a' is under way"):
        issue(core, "a")
    dispatcher.end("a")
    issue(core, "a")
    assert dispatcher.order == ["a", "a"]


async def test_only_queries_are_accepted() -> None:
    core, _ = open_core()
    not_a_query: Any = {"id": "a"}
    with pytest.raises(LocalProtocolError, match="expected a Query, got dict"):
        core.submit(not_a_query, core.results.put)


async def test_untaken_results_stop_the_reading_until_they_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_result_queue, "HIGH", 4)
    monkeypatch.setattr(_result_queue, "LOW", 2)
    core, dispatcher = open_core()
    issue(core, *"abcd")
    for query_id in "abc":
        dispatcher.end(query_id)
    assert dispatcher.is_reading
    dispatcher.end("d")
    assert not dispatcher.is_reading
    thread = threading.Thread(target=core.results.drain, args=(None,))
    thread.start()
    thread.join()
    await until(lambda: dispatcher.is_reading)


async def test_query_that_a_finalizer_cancels_ends_in_a_later_turn() -> None:
    core, dispatcher = open_core()
    issue(core, "a")
    core.cancel_later("a")
    core.cancel_later("no such")
    # A finalizer may run while the dispatcher does something else.
    assert "a" in dispatcher.taken
    await asyncio.sleep(0)
    assert ends_of(core) == {"a": "cancelled"}


async def test_what_comes_after_the_end_of_a_query_goes_nowhere() -> None:
    core, dispatcher = open_core()
    issue(core, "a")
    _, sink = dispatcher.taken["a"]
    dispatcher.end("a")
    sink(StreamChunk(id="a", response_chunk="late"))
    sink(QueryResult(id="a"))
    assert ends_of(core) == {"a": None}


async def test_what_another_thread_hands_over_during_the_end_ends_too() -> None:
    core, _ = open_core()
    stop = threading.Event()
    num_issued = 0

    def keep_issuing() -> None:
        nonlocal num_issued
        while not stop.is_set():
            issue(core, str(num_issued))
            num_issued += 1

    thread = threading.Thread(target=keep_issuing)
    thread.start()
    await until(lambda: num_issued > 100)
    await core.stop()
    await asyncio.sleep(0.01)
    stop.set()
    thread.join()
    assert ends_of(core) == {str(n): "shutdown" for n in range(num_issued)}


async def test_a_client_needs_a_url_and_an_adapter_that_there_is() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(ConfigError, match="endpoint_urls is empty"):
        ClientCore(HTTPClientConfig(), loop)
    config = HTTPClientConfig(endpoint_urls=["http://h"], adapter="no_such:Adapter")
    with pytest.raises(ConfigError, match="'no_such:Adapter' cannot be imported"):
        ClientCore(config, loop)
