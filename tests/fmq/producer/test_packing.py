"""Which messages go out together, and how many each message of the socket was."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from busduct.fmq._producer._packing import pack_entries
from busduct.fmq._producer._sent import Sent
from busduct.fmq._producer._share import Entry
from busduct.fmq._wire import (
    MAX_RUN_BYTES,
    MAX_RUN_MESSAGES,
    Data,
    Encoded,
    Encoding,
    Run,
    parse_from_producer,
)


def entry(
    msg_id: int,
    body: Any = b"body",
    *parts: bytes,
    encoding: Encoding = Encoding.BYTES,
    is_large: bool = False,
    num_deliveries: int = 1,
) -> Entry:
    encoded = Encoded(encoding, body, parts, len(body), is_large)
    return Entry(msg_id, encoded, msg_id / 2, num_deliveries)


def entries_of(count: int, nbytes: int) -> list[Entry]:
    return [entry(number, bytes(nbytes)) for number in range(count)]


def read(packed: Any) -> list[Data]:
    """Return the messages of what is to be sent, in order."""
    messages: list[Data] = []
    for message, count in packed:
        said = parse_from_producer([message] if type(message) is bytes else message)
        came = [data for data, _ in said.messages] if type(said) is Run else [said]
        assert len(came) == count
        messages += came
    return messages


def counts(packed: Any) -> list[int]:
    return [count for _, count in packed]


def test_small_messages_go_together() -> None:
    packed = pack_entries(entries_of(5, 100), 3, MAX_RUN_BYTES)
    assert counts(packed) == [5]
    assert [(data.msg_id, data.timestamp) for data in read(packed)] == [
        (number, number / 2) for number in range(5)
    ]
    assert {data.num_skipped for data in read(packed)} == {3}


def test_a_message_alone_is_no_run() -> None:
    ((message, count),) = pack_entries([entry(7)], 0, MAX_RUN_BYTES)
    assert count == 1
    assert type(message) is bytes
    assert isinstance(parse_from_producer([message]), Data)


def test_what_is_not_small_and_plain_goes_alone_in_its_place() -> None:
    packed = pack_entries(
        [
            entry(0),
            entry(1),
            entry(2, bytes(MAX_RUN_BYTES)),
            entry(3),
            entry(4, is_large=True),
            entry(5, bytearray(b"buffer"), encoding=Encoding.BUFFER),
            entry(6, b"object", b"part", encoding=Encoding.OBJECT),
            entry(7, num_deliveries=2),
            entry(8),
            entry(9),
            entry(10, encoding=Encoding.OBJECT),
            entry(11, encoding=Encoding.OBJECT),
        ],
        0,
        MAX_RUN_BYTES,
    )
    assert counts(packed) == [2, 1, 1, 1, 1, 1, 1, 2, 2]
    messages = read(packed)
    assert [data.msg_id for data in messages] == list(range(12))
    assert messages[7].num_deliveries == 2
    assert messages[4].is_large


@given(
    sizes=st.lists(st.integers(0, 600), max_size=40),
    run_bytes=st.integers(0, 1200),
)
def test_no_run_is_larger_than_the_consumer_takes(
    sizes: list[int], run_bytes: int
) -> None:
    sent = [entry(number, bytes(size)) for number, size in enumerate(sizes)]
    packed = pack_entries(sent, 0, run_bytes)
    assert [len(data.body) for data in read(packed)] == sizes
    assert all(len(part) <= run_bytes for part, count in packed if count > 1)
    # No two that follow each other would have been one.
    for (first, few), (second, more) in pairwise(packed):
        if few > 1 and more > 1:
            assert len(first) + len(second) > run_bytes


def test_a_run_has_so_many_messages_at_most() -> None:
    packed = pack_entries(entries_of(MAX_RUN_MESSAGES + 2, 0), 0, MAX_RUN_BYTES)
    assert counts(packed) == [MAX_RUN_MESSAGES, 2]


def test_who_names_no_runs_gets_none() -> None:
    assert counts(pack_entries(entries_of(3, 1), 0, 0)) == [1, 1, 1]


@given(
    # Messages of the socket: so many of the queue, or a goodbye.
    counts=st.lists(st.integers(0, 4), max_size=30),
    num_last=st.integers(0, 30),
    num_done=st.integers(0, 100),
)
def test_the_last_messages_of_a_socket_are_so_many(
    counts: list[int], num_last: int, num_done: int
) -> None:
    sent, number = Sent(), 0
    for count in counts:
        if count > 1:
            sent.note_run(number, count)
        elif not count:
            sent.note_goodbye(number)
        number += count
    num_last = min(num_last, len(counts))
    unsent = sum(counts[len(counts) - num_last :])
    # What a consumer is done with has been sent.
    sent.note_arrived(min(num_done, number - unsent))
    assert sent.num_messages(num_last, number) == unsent
    assert sent.has_goodbyes == (0 in counts)
