"""The bytes of batches, fences, requests and answers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import (
    ConfigError,
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.transport._records import (
    Batch,
    Fence,
    check_topic,
    decode_published,
    encode_batch,
    encode_fence,
    fence_topic,
)
from busduct.transport._sync_messages import (
    Answer,
    Begin,
    decode_answer,
    decode_begin,
    decode_request,
    encode_begin,
    encode_end,
    encode_records,
    encode_request,
    max_request_bytes,
    new_request,
)

TOPICS = st.binary(max_size=255).filter(lambda topic: not topic.startswith(b"\xff"))
NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
EPOCHS = st.integers(min_value=1, max_value=2**64 - 1)
BATCHES = st.builds(
    Batch,
    topic=TOPICS,
    epoch=EPOCHS,
    first=NUMBERS,
    payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=20),
)
FENCES = st.builds(
    Fence,
    topic=st.binary(min_size=16, max_size=16).map(fence_topic),
    epoch=EPOCHS,
    number=NUMBERS,
)
ONE = Batch(b"t", 7, 3, [b"ab", b"", b"cde"])


@given(BATCHES)
def test_batch_decodes_to_what_was_encoded(batch: Batch) -> None:
    assert decode_published(encode_batch(batch)) == batch


@given(FENCES)
def test_fence_decodes_to_what_was_encoded(fence: Fence) -> None:
    assert decode_published(encode_fence(fence)) == fence


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_parts_are_a_message_or_malformed(parts: list[bytes]) -> None:
    for decode in (
        decode_published,
        decode_answer,
        lambda found: decode_request(found, 20),
    ):
        try:
            decode(parts)
        except RemoteProtocolError:
            continue


@given(BATCHES, st.data())
def test_header_with_a_byte_changed_never_breaks_anything(
    batch: Batch, data: st.DataObject
) -> None:
    topic, header, body = encode_batch(batch)
    position = data.draw(st.integers(min_value=0, max_value=len(header) - 1))
    changed = bytearray(header)
    changed[position] ^= data.draw(st.integers(min_value=1, max_value=255))
    try:
        found = decode_published([topic, bytes(changed), body])
    except MalformedFrameError:
        return
    assert isinstance(found, Batch)
    assert b"".join(found.payloads) == body


def test_batch_has_the_bytes_that_are_documented() -> None:
    assert encode_batch(ONE) == [
        b"t",
        bytes.fromhex(
            "01000000 0000000000000007 0000000000000003 00000003"
            "00000002 00000000 00000003"
        ),
        b"abcde",
    ]


def test_fence_has_the_bytes_that_are_documented() -> None:
    topic = fence_topic(b"0123456789abcdef")
    assert topic == b"\xfffence0123456789abcdef"
    header = bytes.fromhex("01010000 0000000000000007 0000000000000009 00000000")
    assert encode_fence(Fence(topic, 7, 9)) == [topic, header]


def test_answers_have_the_bytes_that_are_documented() -> None:
    number = bytes.fromhex("0000000000000009")
    begin = encode_begin(9, Begin(7, [(b"t", 1, 4)]))
    assert begin == [b"\x00" + number, bytes.fromhex("9207 91 93 c40174 01 04")]
    assert encode_records(9, ONE) == [b"\x01" + number, *encode_batch(ONE)]
    assert encode_end(9) == [b"\x02" + number]


def test_request_has_the_bytes_that_are_documented() -> None:
    request = new_request(9, 7, fence_topic(b"x"), [(b"p", 5)], [(b"t", 4)])
    assert encode_request(request) == bytes.fromhex(
        "96 01 09 07 c407ff66656e636578 9192c4017005 9192c4017404"
    )
    assert decode_request([encode_request(request)], 1 << 20) == request


def test_single_payload_is_not_copied() -> None:
    payload = bytes(100_000)
    parts = encode_batch(Batch(b"t", 7, 0, [payload]))
    assert parts[2] is payload
    batch = decode_published(parts)
    assert isinstance(batch, Batch)
    assert batch.payloads[0] is payload


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"t"],
        [b"t", b""],
        encode_batch(ONE)[:2],
        [*encode_batch(ONE), b""],
        [b"t", encode_batch(ONE)[1], b"abcd"],
        [b"t", encode_batch(ONE)[1] + bytes(4), b"abcde"],
        [b"\xfft", *encode_batch(ONE)[1:]],
        [bytes(256), *encode_batch(ONE)[1:]],
        encode_batch(Batch(b"t", 0, 3, [b""])),
        [b"t", struct.pack("!BBHQQI", 1, 0, 0, 7, 3, 0), b""],
        [b"t", struct.pack("!BBHQQI", 2, 0, 0, 7, 3, 1) + bytes(4), b""],
        [b"t", struct.pack("!BBHQQI", 1, 2, 0, 7, 3, 1) + bytes(4), b""],
        [b"t", struct.pack("!BBHQQI", 1, 0, 1, 7, 3, 1) + bytes(4), b""],
        [b"t", struct.pack("!BBHQQI", 1, 0, 0, 7, 2**64 - 1, 1) + bytes(4), b""],
        [b"t", struct.pack("!BBHQQI", 1, 0, 0, 7, 3, 2**32 - 1) + bytes(4), b""],
        [b"t", struct.pack("!BBHQQI", 1, 1, 0, 7, 3, 0), b""],
        [b"t", struct.pack("!BBHQQI", 1, 1, 0, 7, 3, 1)],
    ],
)
def test_what_contradicts_itself_is_malformed(parts: list[bytes]) -> None:
    with pytest.raises(MalformedFrameError):
        decode_published(parts)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"", b""],
        [b"\xc1"],
        [bytes.fromhex("96 02 09 07 c407ff66656e636578 90 90")],
        [bytes.fromhex("96 01 09 07 c40174 90 90")],
        [bytes.fromhex("96 01 09 07 c407ff66656e636578 9192c4017020 90")[:-1]],
        [bytes.fromhex("96 01 ff 07 c407ff66656e636578 90 90")],
        [b"\x91" * 100_000],
    ],
)
def test_what_is_no_request_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_request(parts, 1 << 20)


def test_request_with_too_many_prefixes_is_refused() -> None:
    prefixes = [(str(n).encode(), 0) for n in range(1025)]
    request = new_request(9, 7, fence_topic(b"x"), prefixes, [])
    with pytest.raises(RemoteProtocolError, match="1024"):
        decode_request([encode_request(request)], 1 << 20)


def test_request_has_a_limit_that_an_honest_one_keeps() -> None:
    topics = [(bytes([n]) * 255, 2**63 - 1) for n in range(200)]
    fence = fence_topic(bytes(16))
    request = encode_request(new_request(2**63, 2**63, fence, topics, topics))
    assert decode_request([request], max_request_bytes(200))
    with pytest.raises(FrameTooLargeError):
        decode_request([request], len(request) - 1)


@pytest.mark.parametrize(
    "parts", [[], [b"\x02"], encode_end(9) * 2, encode_begin(9, Begin(7, []))[:1]]
)
def test_what_is_no_answer_is_malformed(parts: list[bytes]) -> None:
    with pytest.raises(MalformedFrameError):
        decode_answer(parts)


def test_answer_gives_its_kind_number_and_the_rest() -> None:
    assert decode_answer(encode_end(9)) == (Answer.END, 9, [])
    with pytest.raises(RemoteProtocolError):
        decode_begin(b"\x92\x00\x90")


def test_topics_are_checked() -> None:
    assert check_topic("ä.b") == "ä.b".encode()
    with pytest.raises(ConfigError, match="256 bytes exceeds limit of 255"):
        check_topic(bytes(256))
    with pytest.raises(ConfigError, match="reserved"):
        check_topic(b"\xff")
