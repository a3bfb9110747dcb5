"""What producers and consumers of a queue say, as bytes: there and back, and wrong."""

import struct
from typing import Any

import msgspec
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
    INLINE_BYTES,
    Ack,
    Adopted,
    Data,
    Encoded,
    Encoding,
    Goodbye,
    Hello,
    Nack,
    Refusal,
    Welcome,
    data_parts,
    encode_control,
    pack_data,
    parse_from_consumer,
    parse_from_producer,
)

ID = bytes(range(16))
HELLO = Hello(1, "prompts", ID)
FROM_CONSUMER = [
    Welcome(1, ID, 256, 8 << 20, 1 << 30),
    Refusal(1, "another queue"),
    Ack(7, ()),
    Ack(7, (9, 12)),
    Nack((3, 1)),
    Adopted(3),
]
FROM_PRODUCER = [HELLO, Goodbye()]
counts = st.integers(0, (1 << 64) - 1)


def encoded(body: Any, *parts: Any, encoding: Encoding = Encoding.BYTES) -> Encoded:
    return Encoded(encoding, body, parts, len(body) + sum(map(len, parts)), False)


def parts_of(message: Encoded) -> list[Any]:
    return data_parts(message, msg_id=5, timestamp=2.5, num_deliveries=1, num_skipped=3)


def test_the_header_of_a_small_message_is_as_documented() -> None:
    (part,) = data_parts(
        Encoded(Encoding.OBJECT, b"body", (), 4, True),
        msg_id=0x0102,
        timestamp=1.5,
        num_deliveries=2,
        num_skipped=3,
    )
    assert part == bytes.fromhex(
        "02 02 0300 02000000 0201000000000000 000000000000f83f 0300000000000000"
    ) + (b"body")


def test_the_first_bytes_of_the_others_are_as_documented() -> None:
    assert encode_control(HELLO)[0] == 1
    assert [encode_control(each)[0] for each in FROM_CONSUMER] == [
        *(16, 17, 18, 18, 19, 20)
    ]
    assert encode_control(Goodbye()) == b"\x03"
    assert encode_control(Adopted(7)) == bytes.fromhex("14 0700000000000000")
    assert encode_control(Ack(7, (9,))) == bytes.fromhex(
        "12 0700000000000000 0900000000000000"
    )
    assert msgspec.msgpack.decode(encode_control(HELLO)[1:]) == [1, "prompts", ID]


@pytest.mark.parametrize("nbytes", [0, 1, INLINE_BYTES - 1, INLINE_BYTES])
def test_a_body_joins_its_header_below_a_size(nbytes: int) -> None:
    parts = parts_of(encoded(b"x" * nbytes))
    assert len(parts) == (1 if nbytes < INLINE_BYTES else 2)
    assert parse_from_producer(parts) == Data(
        Encoding.BYTES, False, 1, 5, 2.5, 3, b"x" * nbytes, []
    )


def test_a_body_that_is_no_bytes_stays_as_it_is() -> None:
    body = bytearray(b"abc")
    parts = parts_of(encoded(body, encoding=Encoding.BUFFER))
    assert parts[1] is body


def test_one_part_is_given_as_it_is() -> None:
    assert type(pack_data(encoded(b"a"), 0, 0.0, 1, 0)) is bytes
    assert type(pack_data(encoded(b"a", b"b"), 0, 0.0, 1, 0)) is list


@given(
    encoding=st.sampled_from(Encoding),
    body=st.binary(max_size=40) | st.just(b"x" * INLINE_BYTES),
    parts=st.lists(st.binary(max_size=10), max_size=3),
    is_large=st.booleans(),
    num_deliveries=st.integers(0, (1 << 32) - 1),
    msg_id=counts,
    timestamp=st.floats(allow_nan=False),
    num_skipped=counts,
)
def test_a_message_comes_as_it_was_sent(
    encoding: Encoding,
    body: bytes,
    parts: list[bytes],
    is_large: bool,
    num_deliveries: int,
    msg_id: int,
    timestamp: float,
    num_skipped: int,
) -> None:
    parts = parts if encoding is Encoding.OBJECT else []
    sent = Encoded(encoding, body, tuple(parts), 0, is_large)
    came = parse_from_producer(
        data_parts(
            sent,
            msg_id=msg_id,
            timestamp=timestamp,
            num_deliveries=num_deliveries,
            num_skipped=num_skipped,
        )
    )
    assert came == Data(
        encoding, is_large, num_deliveries, msg_id, timestamp, num_skipped, body, parts
    )
    assert isinstance(came, Data)
    assert type(came.encoding) is Encoding


@pytest.mark.parametrize("message", FROM_CONSUMER, ids=repr)
def test_what_a_consumer_says_comes_as_it_was_sent(message: Any) -> None:
    assert parse_from_consumer([encode_control(message)]) == message


def test_what_a_producer_says_first_comes_as_it_was_sent() -> None:
    assert parse_from_producer([encode_control(HELLO)]) == HELLO
    assert parse_from_producer([memoryview(encode_control(HELLO))]) == HELLO
    assert type(parse_from_producer([encode_control(Goodbye())])) is Goodbye


@given(upto=counts, others=st.lists(counts, max_size=20))
def test_numbers_come_as_they_were_sent(upto: int, others: list[int]) -> None:
    ack = Ack(upto, tuple(others))
    assert parse_from_consumer([encode_control(ack)]) == ack
    nack = Nack((upto, *others))
    assert parse_from_consumer([encode_control(nack)]) == nack


@pytest.mark.parametrize("message", [*FROM_PRODUCER, *FROM_CONSUMER], ids=repr)
def test_what_ends_early_is_refused(message: Any) -> None:
    whole = encode_control(message)
    is_producers = message in FROM_PRODUCER
    parse = parse_from_producer if is_producers else parse_from_consumer
    for length in range(len(whole)):
        # Numbers that end between two of them are fewer numbers.
        if isinstance(message, Ack | Nack) and length > 8 and length % 8 == 1:
            continue
        with pytest.raises(RemoteProtocolError):
            parse([whole[:length]])


@pytest.mark.parametrize("message", [*FROM_PRODUCER, *FROM_CONSUMER], ids=repr)
def test_what_goes_on_is_refused(message: Any) -> None:
    whole = encode_control(message)
    is_producers = message in FROM_PRODUCER
    parse = parse_from_producer if is_producers else parse_from_consumer
    with pytest.raises(RemoteProtocolError):
        parse([whole + b"\0"])
    with pytest.raises(RemoteProtocolError):
        parse([whole, b""])


def test_a_header_that_ends_early_is_refused() -> None:
    (whole,) = parts_of(encoded(b""))
    for length in range(1, HEADER_BYTES):
        with pytest.raises(MalformedFrameError):
            parse_from_producer([whole[:length]])


def test_a_message_without_its_body_is_refused() -> None:
    header, body = parts_of(encoded(b"x" * INLINE_BYTES))
    with pytest.raises(MalformedFrameError):
        parse_from_producer([header])
    with pytest.raises(MalformedFrameError):
        parse_from_producer([header + b"x", body])


@pytest.mark.parametrize("encoding", [Encoding.BYTES, Encoding.BUFFER])
def test_parts_of_what_has_none_are_refused(encoding: Encoding) -> None:
    for body in (b"x", b"x" * INLINE_BYTES):
        parts = parts_of(encoded(body, encoding=encoding))
        with pytest.raises(RemoteProtocolError):
            parse_from_producer([*parts, b"more"])


@pytest.mark.parametrize(("offset", "value"), [(1, 3), (1, 255), (2, 4), (3, 1)])
def test_an_unknown_encoding_or_flag_is_refused(offset: int, value: int) -> None:
    (part,) = parts_of(encoded(b"body"))
    changed = bytearray(part)
    changed[offset] = value
    with pytest.raises(RemoteProtocolError, match="unknown"):
        parse_from_producer([bytes(changed)])


@pytest.mark.parametrize(
    "said",
    [
        [1, "prompts", b"short"],
        [1, "prompts"],
        [1, 2, ID],
        ["1", "prompts", ID],
        {"version": 1},
        [1, b"\xff\xff", ID],
    ],
    ids=repr,
)
def test_a_hello_of_other_types_is_refused(said: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_from_producer([b"\x01" + msgspec.msgpack.encode(said)])


@pytest.mark.parametrize(
    "said",
    [
        [1, ID, 0, 1, 1],
        [1, ID, 1, 0, 1],
        [1, ID, 1, 1, 0],
        [1, ID, -1, 1, 1],
        [1, ID + b"x", 1, 1, 1],
        [1, ID, 1.5, 1, 1],
        [1, ID, 1, 1],
    ],
    ids=repr,
)
def test_a_welcome_that_lets_nothing_come_is_refused(said: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_from_consumer([b"\x10" + msgspec.msgpack.encode(said)])


def test_a_later_version_may_say_more() -> None:
    said = b"\x01" + msgspec.msgpack.encode([2, "prompts", ID, "more"])
    assert parse_from_producer([said]) == Hello(2, "prompts", ID)


def test_text_that_is_no_utf_8_is_refused() -> None:
    said = b"\x11" + b"\x92\x01\xa2\xff\xff"
    with pytest.raises(RemoteProtocolError):
        parse_from_consumer([said])


@pytest.mark.parametrize("nested", [b"\x91" * 100_000, b"\x91" * 60_000])
def test_deep_nesting_is_refused(nested: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_from_producer([b"\x01" + nested])
    with pytest.raises(RemoteProtocolError):
        parse_from_consumer([b"\x10" + nested])


def test_more_numbers_than_anybody_has_are_refused() -> None:
    with pytest.raises(FrameTooLargeError):
        parse_from_consumer([b"\x12" + bytes(8 << 20)])


@given(parts=st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_anything_else_is_refused_and_no_more(parts: list[bytes]) -> None:
    for parse in (parse_from_producer, parse_from_consumer):
        try:
            parse(parts)
        except RemoteProtocolError:
            continue
        assert parts[0][0] in (1, 2, 3, 4, 16, 17, 18, 19, 20)


@given(header=st.binary(min_size=HEADER_BYTES - 1, max_size=HEADER_BYTES - 1))
def test_any_header_is_read_or_refused(header: bytes) -> None:
    try:
        data = parse_from_producer([b"\x02" + header, b"body"])
    except RemoteProtocolError:
        return
    assert isinstance(data, Data)
    again = struct.unpack_from("<BBHIQdQ", b"\x02" + header)
    assert data.msg_id == again[4]
