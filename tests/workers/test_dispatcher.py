"""Queries go to workers and end once, whatever the pool does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.processes.conditions import until
from tests.workers.fake_pool import FakePool

from busduct import _result_queue
from busduct.errors import (
    ClosedError,
    EngineDeadError,
    FullError,
    LocalProtocolError,
    MalformedFrameError,
)
from busduct.messages import Query, QueryResult, StreamChunk
from busduct.workers import Dispatcher, _intake, _outgoing


@asynccontextmanager
async def dispatching(
    num_workers: int = 2, ready: bool = True, capacity: int = 1 << 30, **options: Any
) -> AsyncIterator[tuple[Dispatcher, FakePool]]:
    pool = FakePool(num_workers, capacity)
    loop = asyncio.get_running_loop()
    dispatcher = Dispatcher(pool, num_workers, loop, **options)  # type: ignore[arg-type]
    dispatcher.start()
    dispatcher.start()
    for worker_id in range(num_workers if ready else 0):
        dispatcher.note_ready(worker_id)
    try:
        yield dispatcher, pool
    finally:
        dispatcher.close()
        pool.cleanup()


def ids(queries: list[Query]) -> list[str]:
    return [query.id for query in queries]


def submit(dispatcher: Dispatcher, *query_ids: str, **options: Any) -> None:
    for query_id in query_ids:
        dispatcher.submit(Query(id=query_id), **options)


def stop_clock(dispatcher: Dispatcher) -> None:
    """Have what is submitted from here on be submitted at one moment.

    Deadlines then come in the order of the timeouts, however long this process is held
    up between one submission and the next.
    """
    now = asyncio.get_running_loop().time()
    dispatcher._deadlines._clock = lambda: now


async def error(dispatcher: Dispatcher) -> tuple[str, str]:
    """Take a result, and return its id and the type of its error."""
    item = await dispatcher.recv()
    assert isinstance(item, QueryResult)
    assert item.error is not None
    return item.id, item.error.error_type


async def test_results_are_taken_in_the_order_they_came(any_loop: str) -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a", "b", "c")
        assert [ids(sent) for sent in pool.sent] == [["a", "c"], ["b"]]
        pool.answer(StreamChunk(id="b", response_chunk="x"))
        pool.answer(QueryResult(id="c"), QueryResult(id="b"))
        taken = [await dispatcher.recv() for _ in range(3)]
        assert [item.id for item in taken if item] == ["b", "c", "b"]
        assert dispatcher.num_in_flight == 1


async def test_poll_and_drain_look_without_waiting_for_the_reader() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, *"abcde")
        assert dispatcher.poll() is None
        pool.answer(*(QueryResult(id=each) for each in "abcde"))
        first = dispatcher.poll()
        assert first is not None
        assert first.id == "a"
        assert [item.id for item in dispatcher.drain(2)] == ["b", "c"]
        assert [item.id for item in dispatcher.drain()] == ["d", "e"]
        assert dispatcher.drain() == []


async def test_sink_gets_all_of_its_query_and_nothing_else() -> None:
    items: list[Any] = []
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a", sink=items.append)
        submit(dispatcher, "b")
        pool.answer(StreamChunk(id="a"), QueryResult(id="b"), QueryResult(id="a"))
        item = await dispatcher.recv()
        assert item is not None
        assert item.id == "b"
        await until(lambda: len(items) == 2)
    assert [type(item) for item in items] == [StreamChunk, QueryResult]


async def test_sink_that_fails_harms_no_other_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_item: object) -> None:
        raise ZeroDivisionError

    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a", sink=broken)
        submit(dispatcher, "b")
        with caplog.at_level(logging.ERROR, "busduct.workers"):
            pool.answer(QueryResult(id="a"), QueryResult(id="b"))
            item = await dispatcher.recv()
        assert item is not None
        assert item.id == "b"
        assert "ZeroDivisionError" in caplog.text


async def test_sink_that_polls_changes_no_order() -> None:
    seen: list[str] = []
    async with dispatching() as (dispatcher, pool):

        def poll(_item: object) -> None:
            pool.answer(StreamChunk(id="b", response_chunk="3"))
            item = dispatcher.poll()
            seen.append(item.response_chunk if isinstance(item, StreamChunk) else "")

        submit(dispatcher, "a", sink=poll)
        submit(dispatcher, "b")
        chunks = [StreamChunk(id="b", response_chunk=text) for text in "12"]
        pool.answer(QueryResult(id="a"), *chunks)
        got = [await dispatcher.recv() for _ in range(3)]
        assert [each.response_chunk for each in got if each] == ["1", "2", "3"]  # type: ignore[union-attr]
        assert seen == [""]


async def test_sink_can_submit_the_next_query() -> None:
    async with dispatching(num_workers=1) as (dispatcher, pool):
        submit(dispatcher, "a", sink=lambda _: submit(dispatcher, "a"))
        pool.answer_id("a")
        await until(lambda: len(pool.sent[0]) == 2)
        pool.answer_id("a")
        assert await dispatcher.recv() is not None


async def test_cancelled_recv_loses_nothing() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a")
        waiting = [asyncio.create_task(dispatcher.recv()) for _ in range(2)]
        await asyncio.sleep(0)
        pool.answer_id("a")
        # The first is cancelled in the turn in which it would have taken the result.
        dispatcher._intake.look()
        waiting[0].cancel()
        item = await waiting[1]
        assert item is not None
        assert item.id == "a"


async def test_recv_that_was_cancelled_before_anything_came_is_forgotten() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a")
        waiting = asyncio.create_task(dispatcher.recv())
        await asyncio.sleep(0)
        waiting.cancel()
        pool.answer_id("a")
        item = await dispatcher.recv()
        assert item is not None
        assert item.id == "a"


async def test_query_of_an_id_under_way_is_refused() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a")
        with pytest.raises(LocalProtocolError, match="'a'"):
            submit(dispatcher, "a")
        assert sum(map(len, pool.sent)) == 1


async def test_id_is_free_again_once_the_worker_is_done_with_it() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a")
        assert dispatcher.cancel("a")
        with pytest.raises(LocalProtocolError):
            submit(dispatcher, "a")
        assert await error(dispatcher) == ("a", "cancelled")
        pool.answer(StreamChunk(id="a"), QueryResult(id="a"))
        await until(lambda: dispatcher.stats().num_late == 2)
        # Its caller had its end.
        assert dispatcher.poll() is None
        submit(dispatcher, "a")
        assert dispatcher.num_in_flight == 1


async def test_unknown_ids_are_counted_and_dropped() -> None:
    async with dispatching() as (dispatcher, pool):
        pool.answer(QueryResult(id="x"), StreamChunk(id="y"))
        await until(lambda: dispatcher.stats().num_late == 2)
        assert dispatcher.poll() is None


async def test_cancel_tells_the_worker() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a", "b")
        assert dispatcher.cancel("b")
        assert not dispatcher.cancel("b")
        assert not dispatcher.cancel("x")
        assert pool.cancelled == [(1, "b")]
        assert await error(dispatcher) == ("b", "cancelled")
        assert dispatcher.stats().num_errors == {"cancelled": 1}


async def test_deadlines_of_queries_and_of_the_dispatcher_are_kept(
    any_loop: str,
) -> None:
    async with dispatching(request_timeout=0.1) as (dispatcher, pool):
        stop_clock(dispatcher)
        submit(dispatcher, "default")
        dispatcher.submit(Query(id="soon", timeout=0.01))
        dispatcher.submit(Query(id="late", timeout=30.0))
        dispatcher.submit(Query(id="at once", timeout=0.0))
        ended = [(await error(dispatcher))[0] for _ in range(3)]
        assert ended == ["at once", "soon", "default"]
        assert dispatcher.num_in_flight == 1
        assert [query_id for _, query_id in pool.cancelled] == ended


async def test_query_that_ends_in_time_does_not_end_again() -> None:
    async with dispatching(request_timeout=0.05) as (dispatcher, pool):
        submit(dispatcher, "a", "b")
        pool.answer_id("a")
        first = await dispatcher.recv()
        assert first is not None
        assert first.id == "a"
        assert await error(dispatcher) == ("b", "timeout")
        assert dispatcher.poll() is None


async def test_without_a_timeout_there_is_none() -> None:
    async with dispatching(request_timeout=None) as (dispatcher, _):
        submit(dispatcher, "a")
        assert dispatcher._deadlines._timer is None


async def test_full_worker_is_passed_over() -> None:
    async with dispatching(num_workers=3, capacity=2) as (dispatcher, pool):
        submit(dispatcher, *"abcdef")
        with pytest.raises(FullError):
            submit(dispatcher, "g")
        assert dispatcher.num_in_flight == 6
        pool.sent[1].clear()
        submit(dispatcher, "g")
        assert ids(pool.sent[1]) == ["g"]


async def test_least_loaded_is_told_where_a_query_went() -> None:
    async with dispatching(routing="least_loaded") as (dispatcher, pool):
        pool.capacity = 0
        with pytest.raises(FullError):
            submit(dispatcher, "a")
        pool.capacity = 100
        submit(dispatcher, "a", "b", "c", "d")
        assert [len(sent) for sent in pool.sent] == [2, 2]
        pool.answer(*(QueryResult(id=query.id) for query in pool.sent[0]))
        await until(lambda: dispatcher.num_in_flight == 2)
        submit(dispatcher, "e", "f")
        assert [len(sent) for sent in pool.sent] == [4, 2]


async def test_worker_that_answers_nothing_any_more_gets_no_more_than_others() -> None:
    async with dispatching(routing="least_loaded", request_timeout=0.01) as (
        dispatcher,
        pool,
    ):
        submit(dispatcher, "a", "b")
        await error(dispatcher)
        await error(dispatcher)
        # Both ended by their deadline; one worker then says that it is done.
        pool.answer_id("b")
        await until(lambda: dispatcher.stats().num_late == 1)
        submit(dispatcher, "c")
        assert ids(pool.sent[1]) == ["b", "c"]


async def test_query_that_cannot_be_sent_is_not_under_way() -> None:
    async with dispatching(num_workers=1) as (dispatcher, pool):
        pool.error = TypeError("cannot be encoded")
        with pytest.raises(TypeError):
            submit(dispatcher, "a")
        assert dispatcher.num_in_flight == 0
        pool.error = None
        submit(dispatcher, "a")


async def test_query_that_cannot_be_sent_counts_at_no_worker() -> None:
    async with dispatching(routing="least_loaded", ready=False) as (dispatcher, pool):
        dispatcher.note_ready(0)
        pool.error = TypeError("cannot be encoded")
        for _ in range(3):
            with pytest.raises(TypeError):
                submit(dispatcher, "a")
        pool.error = None
        dispatcher.note_ready(1)
        submit(dispatcher, "a", "b", "c", "d")
        assert [len(sent) for sent in pool.sent] == [2, 2]


async def test_held_query_that_cannot_be_sent_ends_with_an_error() -> None:
    async with dispatching(num_workers=1, ready=False) as (dispatcher, pool):
        submit(dispatcher, "a")
        pool.error = TypeError("cannot be encoded")
        dispatcher.note_ready(0)
        pool.error = None
        assert await error(dispatcher) == ("a", "request")
        submit(dispatcher, "b")
        assert ids(pool.sent[0]) == ["b"]


async def test_queries_are_held_until_a_worker_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_outgoing, "MAX_HELD", 3)
    async with dispatching(num_workers=1, ready=False) as (dispatcher, pool):
        submit(dispatcher, "a", "b", "c")
        with pytest.raises(FullError, match="3 queries"):
            submit(dispatcher, "d")
        assert dispatcher.cancel("b")
        assert dispatcher.stats().num_held == 2
        assert pool.cancelled == []
        dispatcher.note_ready(0)
        assert ids(pool.sent[0]) == ["a", "c"]


async def test_resent_queries_go_before_those_that_were_held() -> None:
    async with dispatching(ready=False) as (dispatcher, pool):
        dispatcher.note_ready(0)
        submit(dispatcher, "a", "b")
        dispatcher.note_lost(0)
        submit(dispatcher, "c")
        await dispatcher.settle(0, lambda: 0, "killed")
        dispatcher.note_ready(1)
        assert ids(pool.sent[1]) == ["a", "b", "c"]


async def test_held_query_that_somebody_answered_is_not_sent() -> None:
    async with dispatching(ready=False) as (dispatcher, pool):
        submit(dispatcher, "a", "b")
        pool.answer_id("a")
        assert await dispatcher.recv() is not None
        dispatcher.note_ready(0)
        assert ids(pool.sent[0]) == ["b"]
        assert dispatcher.num_in_flight == 1


async def test_resent_queries_wait_for_room() -> None:
    async with dispatching(capacity=2) as (dispatcher, pool):
        submit(dispatcher, *"abcd")
        dispatcher.note_lost(0)
        await dispatcher.settle(0, lambda: 0, "killed")
        assert dispatcher.stats().num_held == 2
        assert dispatcher.stats().num_resent == 2
        # No place is taken before those that wait.
        with pytest.raises(FullError):
            submit(dispatcher, "e")
        pool.make_room(1)
        await until(lambda: ids(pool.sent[1]) == ["a", "c"])


async def test_dead_worker_is_settled_once_all_of_it_is_in() -> None:
    async with dispatching() as (dispatcher, pool):
        pool.gone[0] = asyncio.Event()
        submit(dispatcher, *"abcdef")
        dispatcher.note_lost(0)
        settling = asyncio.create_task(dispatcher.settle(0, lambda: 2, "killed"))
        submit(dispatcher, "g")
        assert ids(pool.sent[1]) == ["b", "d", "f", "g"]
        await asyncio.sleep(0)
        pool.answer_id("c")
        pool.gone[0].set()
        await settling
        # It had started two: one it answered, one it did not, and a third it had not.
        first = await dispatcher.recv()
        assert first is not None
        assert (first.id, first.error) == ("c", None)  # type: ignore[union-attr]
        assert await error(dispatcher) == ("a", "worker_died")
        assert ids(pool.sent[1]) == ["b", "d", "f", "g", "e"]
        assert dispatcher.num_in_flight == 5


async def test_results_beyond_one_drain_are_in_before_a_worker_is_settled() -> None:
    async with dispatching(num_workers=1) as (dispatcher, pool):
        names = [str(number) for number in range(1000)]
        submit(dispatcher, *names)
        pool.answer(*(QueryResult(id=name) for name in names))
        dispatcher.note_lost(0)
        await dispatcher.settle(0, lambda: 1000, "killed")
        results = dispatcher.drain()
        assert [result.id for result in results] == names
        assert dispatcher.stats().num_errors == {}


async def test_connection_that_does_not_end_with_its_worker_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_intake, "GONE_SECONDS", 0.01)
    async with dispatching() as (dispatcher, pool):
        pool.gone[0] = asyncio.Event()
        submit(dispatcher, "a")
        dispatcher.note_lost(0)
        with caplog.at_level(logging.ERROR, "busduct.workers"):
            await dispatcher.settle(0, lambda: 1, "killed")
        assert await error(dispatcher) == ("a", "worker_died")
        assert "its connection is open" in caplog.text


async def test_reader_stops_when_nobody_takes_and_goes_on_when_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_result_queue, "HIGH", 10)
    monkeypatch.setattr(_result_queue, "LOW", 5)
    monkeypatch.setattr(_intake, "MAX_DRAINED", 4)
    async with dispatching() as (dispatcher, pool):
        names = [str(number) for number in range(40)]
        submit(dispatcher, *names)
        pool.answer(*(QueryResult(id=name) for name in names))
        await until(lambda: dispatcher.stats().num_untaken == 12)
        for _ in range(10):
            await asyncio.sleep(0)
        assert dispatcher.stats().num_untaken == 12
        taken = [await dispatcher.recv() for _ in range(40)]
        assert [item.id for item in taken if item] == names


async def test_reader_that_stopped_goes_on_for_a_dead_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_result_queue, "HIGH", 10)
    monkeypatch.setattr(_result_queue, "LOW", 5)
    monkeypatch.setattr(_intake, "MAX_DRAINED", 4)
    async with dispatching(num_workers=1) as (dispatcher, pool):
        names = [str(number) for number in range(40)]
        submit(dispatcher, *names)
        pool.answer(*(QueryResult(id=name) for name in names))
        await until(lambda: dispatcher.stats().num_untaken == 12)
        # Its connection ends only after all was taken in, as with a full queue.
        pool.gone[0] = asyncio.Event()
        dispatcher.note_lost(0)
        settling = asyncio.create_task(dispatcher.settle(0, lambda: 40, "killed"))
        await until(lambda: dispatcher.stats().num_untaken == 40)
        pool.gone[0].set()
        await settling
        assert dispatcher.stats().num_errors == {}


async def test_when_responses_cannot_be_read_everything_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a")
        pool.drain_error = MalformedFrameError(7)
        pool.answer_id("a")
        assert await error(dispatcher) == ("a", "worker_died")
        assert await dispatcher.recv() is None
        with pytest.raises(EngineDeadError, match="at byte 7"):
            submit(dispatcher, "b")


async def test_close_gives_what_is_there_and_ends_the_rest() -> None:
    async with dispatching() as (dispatcher, pool):
        submit(dispatcher, "a", "b")
        pool.answer_id("b")
        dispatcher.close()
        dispatcher.close()
        first = dispatcher.poll()
        assert first is not None
        assert first.id == "b"
        assert await error(dispatcher) == ("a", "shutdown")
        assert await dispatcher.recv() is None
        with pytest.raises(ClosedError):
            submit(dispatcher, "c")
        dispatcher.note_ready(0)
        assert dispatcher.stats().num_in_flight == 0


async def test_failed_pool_refuses_and_can_still_be_closed() -> None:
    async with dispatching(ready=False) as (dispatcher, _):
        submit(dispatcher, "a")
        dispatcher.fail("no worker is left")
        dispatcher.fail("again")
        assert await error(dispatcher) == ("a", "worker_died")
        with pytest.raises(EngineDeadError, match="no worker is left"):
            submit(dispatcher, "b")
