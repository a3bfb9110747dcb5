"""Several small messages in one part: there and back, and wrong."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import (
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.fmq._wire import (
    HEADER_BYTES,
    MAX_RUN_BYTES,
    MAX_RUN_MESSAGES,
    RUN_HEADER_BYTES,
    RUN_MESSAGE_BYTES,
    Data,
    Encoding,
    Run,
    pack_run,
    parse_from_producer,
)

THREE = [b"one", b"", b"three"]
numbers = st.integers(0, (1 << 64) - 1)


def packed(bodies: list[bytes], num_skipped: int = 0) -> bytes:
    ids, times = range(len(bodies)), [0.5] * len(bodies)
    return pack_run(Encoding.BYTES, bodies, ids, times, num_skipped)


def forged(offset: int, form: str, value: int) -> bytes:
    part = bytearray(packed(THREE))
    struct.pack_into(form, part, offset, value)
    return bytes(part)


def length_at(index: int) -> int:
    return RUN_HEADER_BYTES + len(THREE) * 16 + index * 4


def test_a_run_is_as_documented() -> None:
    part = pack_run(Encoding.OBJECT, [b"ab", b"c"], [5, 0x0102], [1.5, -2.0], 3)
    assert part == bytes.fromhex(
        "04 02 0200 00000000 0300000000000000"
        "0500000000000000 0201000000000000"
        "000000000000f83f 00000000000000c0"
        "02000000 01000000"
    ) + (b"abc")


@given(
    encoding=st.sampled_from(Encoding),
    bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=MAX_RUN_MESSAGES),
    msg_id=st.integers(0, 1 << 60),
    timestamp=st.floats(allow_nan=False),
    num_skipped=numbers,
)
@pytest.mark.parametrize("part_type", [bytes, memoryview])
def test_messages_come_as_they_were_sent(
    part_type: Any,
    encoding: Encoding,
    bodies: list[bytes],
    msg_id: int,
    timestamp: float,
    num_skipped: int,
) -> None:
    ids = [msg_id + 3 * place for place in range(len(bodies))]
    times = [timestamp] * len(bodies)
    part = part_type(pack_run(encoding, bodies, ids, times, num_skipped))
    assert parse_from_producer([part]) == Run(
        [
            (
                Data(encoding, False, 1, each, timestamp, num_skipped, body, ()),
                len(body),
            )
            for each, body in zip(ids, bodies, strict=True)
        ]
    )


WRONG = {
    "no messages": forged(2, "<H", 0),
    "fewer messages": forged(2, "<H", 2),
    "more messages": forged(2, "<H", 4),
    "messages beyond its end": forged(2, "<H", 256),
    "the most messages that can be said": forged(2, "<H", 65535),
    "an unknown encoding": forged(1, "<B", 3),
    "something where nothing is": forged(4, "<I", 1),
    "a body that is longer": forged(length_at(0), "<I", 4),
    "a body that is shorter": forged(length_at(2), "<I", 4),
    "a body without end": forged(length_at(1), "<I", (1 << 32) - 1),
    "an end that is early": packed(THREE)[:-1],
    "a byte too many": packed(THREE) + b"x",
    "a table that ends early": packed(THREE)[: RUN_HEADER_BYTES + 50],
    "a header that ends early": packed(THREE)[: HEADER_BYTES - 1],
    "its kind alone": b"\x04",
    "too many": packed([b""] * MAX_RUN_MESSAGES).replace(
        b"\x04\x00\x00\x01", b"\x04\x00\x01\x01", 1
    )
    + bytes(RUN_MESSAGE_BYTES),
    "too much": packed([bytes(MAX_RUN_BYTES)]),
}


@pytest.mark.parametrize("part_type", [bytes, memoryview])
@pytest.mark.parametrize("part", WRONG.values(), ids=WRONG)
def test_a_run_that_lies_is_refused(part: bytes, part_type: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_from_producer([part_type(part)])


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(FrameTooLargeError, match="exceeds limit of 16384"):
        parse_from_producer([WRONG["too much"]])
    with pytest.raises(MalformedFrameError, match="bodies up to 84"):
        parse_from_producer([WRONG["a byte too many"]])
    with pytest.raises(RemoteProtocolError, match="run of 257 messages"):
        parse_from_producer([WRONG["too many"]])


def test_a_run_has_one_part() -> None:
    with pytest.raises(RemoteProtocolError, match="in 2 parts"):
        parse_from_producer([packed(THREE), b"more"])


@given(place=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 90))
def test_whatever_is_changed_is_refused_or_read(
    place: int, value: int, cut: int
) -> None:
    part = bytearray(packed(THREE))
    part[place % len(part)] = value
    whole = bytes(part[: len(part) - cut % len(part)])
    try:
        said = parse_from_producer([whole])
    except RemoteProtocolError:
        return
    if isinstance(said, Run):
        assert sum(nbytes for _, nbytes in said.messages) < len(whole)
        assert all(len(data.body) == nbytes for data, nbytes in said.messages)
