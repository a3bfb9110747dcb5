"""The publisher's ring: numbers without end, the last records within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import FullError
from busduct.transport._records import fence_topic
from busduct.transport._replay_ring import ReplayRing
from busduct.transport._replay_server import plan_replay
from busduct.transport._sync_messages import ALL_RECORDS, new_request


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.binary(max_size=50))),
    st.integers(min_value=0, max_value=8),
    st.integers(min_value=0, max_value=600),
)
def test_ring_holds_the_last_within_its_bounds(
    records: list[tuple[bytes, bytes]], max_records: int, max_bytes: int
) -> None:
    ring = ReplayRing(7, max_records, max_bytes, 3)
    numbers = [ring.append(topic, payload) for topic, payload in records]
    assert ring.num_records <= max_records
    assert ring.nbytes <= max_bytes
    held = records[len(records) - ring.num_records :]
    assert ring.nbytes == sum(len(payload) + 96 for _, payload in held)
    if ring.num_records < min(max_records, len(records)):
        following = records[len(records) - ring.num_records - 1][1]
        assert ring.nbytes + len(following) + 96 > max_bytes
    for topic, first_held, head in ring.heads():
        mine = [payload for name, payload in records if name == topic]
        assert head == len(mine)
        batch = ring.batch_from(topic, 0, head, 1000, 100_000)
        assert (batch.payloads if batch else []) == mine[first_held:]
    assert all(
        number == sum(name == topic for name, _ in records[:index])
        for index, (number, (topic, _)) in enumerate(zip(numbers, records, strict=True))
    )


def filled(num_records: int = 10, max_records: int = 100) -> ReplayRing:
    ring = ReplayRing(7, max_records, 100_000, 10)
    for number in range(num_records):
        ring.append(b"t", b"%d" % number)
    return ring


@pytest.mark.parametrize(
    ("start", "stop", "max_records", "max_bytes", "expected"),
    [
        (0, 10, 3, 1000, (0, [b"0", b"1", b"2"])),
        (8, 10, 100, 1000, (8, [b"8", b"9"])),
        (2, 4, 100, 1000, (2, [b"2", b"3"])),
        (0, 10, 100, 2, (0, [b"0", b"1"])),
        (5, 99, 100, 0, (5, [b"5"])),
        (10, 10, 100, 1000, None),
        (99, 999, 100, 1000, None),
    ],
)
def test_batch_is_what_was_asked_for(
    start: int, stop: int, max_records: int, max_bytes: int, expected: object
) -> None:
    batch = filled().batch_from(b"t", start, stop, max_records, max_bytes)
    assert (batch and (batch.first, batch.payloads)) == expected


def test_batch_begins_with_the_first_that_is_held() -> None:
    batch = filled(10, max_records=2).batch_from(b"t", 3, 10, 100, 1000)
    assert batch is not None
    assert (batch.first, batch.payloads) == (8, [b"8", b"9"])


def test_topic_too_many_is_refused_and_the_others_go_on() -> None:
    ring = ReplayRing(7, 10, 1000, 2)
    ring.append(b"a", b"")
    ring.append(b"b", b"")
    with pytest.raises(FullError, match="2 topics"):
        ring.append(b"c", b"")
    assert ring.append(b"a", b"") == 1
    assert ring.num_topics == 2


@pytest.mark.parametrize(
    ("epoch", "prefixes", "positions", "expected"),
    [
        # Fresh: the last so many that are held.
        (0, [(b"", 0)], [], (10, 10)),
        (0, [(b"", 3)], [], (7, 10)),
        (0, [(b"", 99)], [], (5, 10)),
        # Known before: from its start, though not all is held.
        (7, [(b"", ALL_RECORDS)], [], (0, 10)),
        (7, [(b"", ALL_RECORDS)], [(b"t", 6)], (6, 10)),
        (7, [(b"", ALL_RECORDS)], [(b"t", 2)], (2, 10)),
        (7, [(b"", ALL_RECORDS)], [(b"t", 99)], (10, 10)),
        # Positions of another life say nothing.
        (8, [(b"", ALL_RECORDS)], [(b"t", 6)], (0, 10)),
        # The most generous prefix counts.
        (0, [(b"", 0), (b"t", 2), (b"t", 1)], [], (8, 10)),
        (0, [(b"u", 2)], [], None),
        (0, [(b"tt", 2)], [], None),
    ],
)
def test_replay_begins_where_the_request_says(
    epoch: int,
    prefixes: list[tuple[bytes, int]],
    positions: list[tuple[bytes, int]],
    expected: tuple[int, int] | None,
) -> None:
    request = new_request(1, epoch, fence_topic(b"x"), prefixes, positions)
    plan = list(plan_replay(filled(10, max_records=5), request))
    assert plan == ([] if expected is None else [(b"t", *expected)])
