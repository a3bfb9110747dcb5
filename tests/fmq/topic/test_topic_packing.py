"""The bytes of a published message."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import LocalProtocolError, RemoteProtocolError
from busduct.fmq._topic._packing import MAX_PARTS, PACKING_BYTES, pack, unpack
from busduct.fmq._wire import Encoded, Encoding, Hello, encode_control

SMALL = Encoded(Encoding.BYTES, b"payload", (), 7, False)


def encoded(body: bytes, *parts: bytes) -> Encoded:
    nbytes = len(body) + sum(map(len, parts))
    return Encoded(Encoding.OBJECT, body, parts, nbytes, False)


@given(
    st.binary(max_size=40000),
    st.lists(st.binary(max_size=100), max_size=5),
    st.integers(0, 1 << 63),
    st.floats(allow_nan=False),
)
def test_message_is_found_again(
    body: bytes, parts: list[bytes], msg_id: int, timestamp: float
) -> None:
    message = encoded(body, *parts)
    payload = pack(message, msg_id=msg_id, timestamp=timestamp)
    assert len(payload) <= message.nbytes + PACKING_BYTES
    data = unpack(payload)
    assert bytes(data.body) == body
    assert [bytes(part) for part in data.parts] == parts
    assert (data.msg_id, data.timestamp) == (msg_id, timestamp)


def test_small_message_is_not_packed() -> None:
    assert pack(SMALL, msg_id=1, timestamp=2.0).endswith(SMALL.body)
    assert pack(SMALL, msg_id=1, timestamp=2.0)[0] == 2


def test_parts_are_views_of_one_payload_and_aligned() -> None:
    parts = [bytes([n]) * (n * 7) for n in range(1, 9)]
    payload = pack(encoded(bytes(20000), *parts), msg_id=0, timestamp=0.0)
    for part in unpack(payload).parts:
        assert isinstance(part, memoryview)
        assert part.readonly
        assert part.obj is payload
        assert payload.index(bytes(part)) % 16 == 0


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=f"limit of {MAX_PARTS}"):
        pack(encoded(b"", *[b"x"] * MAX_PARTS), msg_id=0, timestamp=0.0)


PACKED = pack(encoded(bytes(20000), b"part"), msg_id=3, timestamp=4.0)


@pytest.mark.parametrize("nbytes", [0, 1, 4, 7, 8, 20, 31, 40, 100, 20000])
def test_packing_cut_short_is_refused(nbytes: int) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(PACKED[:nbytes])


def test_packing_with_more_behind_it_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(PACKED + b"x")


@pytest.mark.parametrize("count", [0, 2, MAX_PARTS + 1, 65535])
def test_packing_of_another_count_is_refused(count: int) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(PACKED[:2] + struct.pack("<H", count) + PACKED[4:])


@pytest.mark.parametrize("nbytes", [0, 1 << 62, (1 << 64) - 1])
def test_packing_of_another_size_is_refused(nbytes: int) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(PACKED[:8] + struct.pack("<Q", nbytes) + PACKED[16:])


def test_greeting_is_no_message() -> None:
    with pytest.raises(RemoteProtocolError, match="Hello where"):
        unpack(encode_control(Hello(1, "load", bytes(16))))


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_message_or_refused(payload: bytes) -> None:
    for prefix in (b"", b"\x40", b"\x02"):
        with suppress(RemoteProtocolError):
            unpack(prefix + payload)
