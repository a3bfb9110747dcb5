"""Who has which query, and what is lost with a worker."""

import math

from busduct.messages import Query, QueryResult, StreamChunk
from busduct.workers._ledger import HELD, Entry, Ledger


def assigned(ledger: Ledger, worker_id: int, *query_ids: str) -> list[Entry]:
    entries = [Entry(Query(id=query_id), None) for query_id in query_ids]
    for entry in entries:
        ledger.assign(entry, worker_id)
    return entries


def ids(entries: list[Entry]) -> list[str]:
    return [entry.query.id for entry in entries]


def test_started_and_unstarted_are_told_apart_in_order() -> None:
    ledger = Ledger(2)
    assigned(ledger, 0, "a", "b", "c", "d")
    assigned(ledger, 1, "x", "y")
    started, unstarted = ledger.lose(0, 2)
    assert (ids(started), ids(unstarted)) == (["a", "b"], ["c", "d"])
    assert all(entry.is_ended for entry in started)
    assert all(entry.worker_id == HELD for entry in unstarted)
    assert set(ledger.entries) == {"c", "d", "x", "y"}
    assert ledger.num_under_way == 4


def test_what_was_answered_counts_among_the_started() -> None:
    ledger = Ledger(1)
    assigned(ledger, 0, "a", "b", "c")
    assert ledger.take_result(QueryResult(id="b")) is not None
    started, unstarted = ledger.lose(0, 2)
    assert (ids(started), ids(unstarted)) == (["a"], ["c"])


def test_query_with_chunks_had_started_whatever_the_count_says() -> None:
    ledger = Ledger(1)
    assigned(ledger, 0, "a", "b")
    assert ledger.take_chunk(StreamChunk(id="b")) is not None
    started, unstarted = ledger.lose(0, 0)
    assert (ids(started), ids(unstarted)) == (["b"], ["a"])


def test_next_process_counts_from_zero() -> None:
    ledger = Ledger(1)
    assigned(ledger, 0, "a", "b")
    ledger.lose(0, 2)
    (entry,) = assigned(ledger, 0, "c")
    assert entry.sequence == 0
    assert ids(ledger.lose(0, 0)[1]) == ["c"]


def test_resent_query_stands_where_its_next_worker_got_it() -> None:
    ledger = Ledger(2)
    (first,) = assigned(ledger, 0, "a")
    assigned(ledger, 1, "x", "y")
    ledger.lose(0, 0)
    ledger.assign(first, 1)
    started, unstarted = ledger.lose(1, 1)
    assert (ids(started), ids(unstarted)) == (["x"], ["y", "a"])


def test_ended_query_stays_until_its_worker_is_done_with_it() -> None:
    ledger = Ledger(1)
    (entry,) = assigned(ledger, 0, "a")
    ledger.end(entry)
    assert "a" in ledger.entries
    assert ledger.get("a") is None
    assert ledger.num_under_way == 0
    assert ledger.take_chunk(StreamChunk(id="a")) is None
    taken = ledger.take_result(QueryResult(id="a"))
    assert taken is entry
    assert taken.is_ended
    assert "a" not in ledger.entries
    assert ledger.num_late == 2
    assert ledger.num_under_way == 0


def test_ended_query_goes_with_its_worker() -> None:
    ledger = Ledger(1)
    first, second = assigned(ledger, 0, "a", "b")
    ledger.end(first)
    ledger.end(second)
    assert ledger.lose(0, 1) == ([], [])
    assert ledger.entries == {}
    assert ledger.num_under_way == 0


def test_held_query_that_ends_is_gone_at_once() -> None:
    ledger = Ledger(1)
    entry = Entry(Query(id="a"), None)
    ledger.hold(entry)
    assert ledger.num_under_way == 1
    ledger.end(entry)
    assert ledger.entries == {}


def test_unknown_ids_are_late() -> None:
    ledger = Ledger(1)
    assert ledger.take_result(QueryResult(id="a")) is None
    assert ledger.take_chunk(StreamChunk(id="a")) is None
    assert ledger.num_late == 2


def test_due_are_found_in_the_order_of_their_deadlines() -> None:
    ledger = Ledger(1)
    for entry, deadline in zip(
        assigned(ledger, 0, "a", "b", "c", "d"), (3.0, 1.0, 5.0, math.inf), strict=True
    ):
        entry.deadline = deadline
    due, earliest = ledger.due(3.0)
    assert (ids(due), earliest) == (["b", "a"], 5.0)
    for entry in due:
        ledger.end(entry)
    assert ledger.due(4.0) == ([], 5.0)


def test_end_of_all_names_those_who_wait() -> None:
    ledger = Ledger(1)
    first, _ = assigned(ledger, 0, "a", "b")
    ledger.end(first)
    assert ids(ledger.end_all()) == ["b"]
    assert ledger.num_under_way == 0
    assert ledger.end_all() == []
