"""Payloads that a peer made up: a typed error each, and nothing taken for them."""

import struct
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.errors import MalformedFrameError, RemoteProtocolError
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._wire import Data, Encoding
from busduct.tensors import DTYPES

ARRAY, BYTES = 1, 2
PART = b"12345678"


class Job(msgspec.Struct):
    name: str = ""
    image: bytes = b""
    tokens: np.ndarray | None = None
    many: list[np.ndarray] = []


DECODERS = [
    PayloadDecoder(),
    PayloadDecoder(views=True),
    PayloadDecoder(copy=True),
    PayloadDecoder(Job),
    PayloadDecoder(dict[str, memoryview]),
]


def data_of(body: bytes, *parts: bytes, encoding: Encoding = Encoding.OBJECT) -> Data:
    return Data(encoding, False, 1, 0, 0.0, 0, body, parts)


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def array(*header: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(ARRAY, packed(list(header)))


def part(number: int, nbytes: int) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(BYTES, struct.pack("<IQ", number, nbytes))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (msgspec.msgpack.Ext(0, b""), "extension type 0 is refused"),
        (msgspec.msgpack.Ext(3, PART), "extension type 3 is refused"),
        (msgspec.msgpack.Ext(-2, PART), "extension type -2 is refused"),
        (msgspec.msgpack.Ext(127, b""), "extension type 127 is refused"),
        (msgspec.msgpack.Ext(BYTES, b""), "0 bytes where a part is named by 12"),
        (msgspec.msgpack.Ext(BYTES, bytes(13)), "13 bytes where a part"),
        (part(0, 8), "part 0 of 1"),
        (part(2, 8), "part 2 of 1"),
        (part(2**32 - 1, 8), "part 4294967295 of 1"),
        (part(1, 7), "8 bytes where the shape has 7"),
        (part(1, 2**64 - 1), "8 bytes where the shape has"),
        ([part(1, 8), part(1, 8)], "part 1 is used twice"),
        ([part(1, 8), array("int8", [8], 1, "")], "part 1 is used twice"),
        ([array("int8", [8], 1, "")] * 2, "part 1 is used twice"),
        (7, "1 parts that nothing refers to"),
        (array("int8", [1], b"x", ""), "1 parts that nothing refers to"),
        (msgspec.msgpack.Ext(ARRAY, b""), "truncated"),
        (msgspec.msgpack.Ext(ARRAY, packed(None)), "an array is"),
        (msgspec.msgpack.Ext(ARRAY, packed([1] * 4)), "an array is"),
        (msgspec.msgpack.Ext(ARRAY, packed({})), "an array is"),
        (msgspec.msgpack.Ext(ARRAY, packed("int8") + b"x"), "malformed"),
        (array("int8", [8], 1), "an array is"),
        (array("int8", [8], 1, "", 1), "an array is"),
        (array("int8", [8], 1, 1), "an array is"),
        (array("int8", [8], 1, "cupy"), "library 'cupy' is not one of"),
        (array("int8", [8], 1, "x" * 100_000), "is not one of numpy"),
        (array("int8", [8], 1, "__builtins__"), "is not one of numpy"),
        (array("object", [8], 1, "numpy"), "dtype 'object' is not one of"),
        (array("int8", [-8], 1, "numpy"), "integers from 0"),
        (array("int8", [7], 1, "numpy"), "8 bytes where the shape has 7"),
        (array("int8", [2**62, 2], 1, "numpy"), "shape exceeds limit"),
        (array("int8", [1] * 33, 1, "numpy"), "33 dimensions"),
        (array("int8", [8], 2, "numpy"), "part 2 of 1"),
        (array("int8", [8], True, "numpy"), "neither bytes nor"),
        (array("int8", [8], b"1234567", "numpy"), "7 bytes where the shape"),
        (array("int8", [8], part(1, 8), "numpy"), "extension type 2 within an array"),
        (array(array("int8", [8], 1, ""), [8], 1, ""), "extension type 1 within"),
    ],
)
@pytest.mark.parametrize("decoder", DECODERS[:3])
def test_what_is_wrong_is_told(decoder: PayloadDecoder, value: Any, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text) as raised:
        decoder(data_of(packed({"x": value}), PART))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("value", [part(1, 8), array("int8", [8], 1, "")])
def test_without_parts_nothing_refers_to_one(
    decoder: PayloadDecoder, value: Any
) -> None:
    with pytest.raises(RemoteProtocolError):
        decoder(data_of(packed({"many": [value], "image": value, "x": value})))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        packed({"name": "x"})[:-1],
        packed({"name": "x"}) + b"\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x81\x81\x01\x02\x03",
    ],
)
@pytest.mark.parametrize("parts", [(), (PART,)])
@pytest.mark.parametrize("decoder", DECODERS)
def test_bytes_that_are_no_msgpack_are_malformed(
    decoder: PayloadDecoder, body: bytes, parts: tuple[bytes, ...]
) -> None:
    tracemalloc.start()
    with pytest.raises(RemoteProtocolError) as raised:
        decoder(data_of(body, *parts))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert isinstance(raised.value, MalformedFrameError) or decoder is not DECODERS[0]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("parts", [(), (PART,)])
@pytest.mark.parametrize(
    "body",
    [b"\x91" * 100_000, b"\x81\xa1x" * 100_000, b"\xa1\xff", b"\x81\xa4name\xa1\xff"],
)
def test_nesting_without_end_and_wrong_text_are_refused(
    decoder: PayloadDecoder, body: bytes, parts: tuple[bytes, ...]
) -> None:
    with pytest.raises(RemoteProtocolError):
        decoder(data_of(body, *parts))


@pytest.mark.parametrize("key", [part(1, 8), array("int8", [8], 1, "numpy")])
@pytest.mark.parametrize("decoder", DECODERS)
def test_keys_that_are_parts_are_bytes_or_refused(
    decoder: PayloadDecoder, key: Any
) -> None:
    body = b"\x81" + packed(key) + b"\x01"
    try:
        got = decoder(data_of(body, PART))
    except RemoteProtocolError:
        return
    assert got == {PART: 1}


def test_many_references_to_a_part_are_not_so_many_copies() -> None:
    big = bytes(1 << 20)
    for one in (part(1, 1 << 20), array("uint8", [1 << 20], 1, "numpy")):
        tracemalloc.start()
        for decoder in DECODERS:
            with pytest.raises(RemoteProtocolError):
                decoder(data_of(packed({"many": [one] * 1000}), big))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


def test_announced_bytes_are_not_allocated() -> None:
    headers = [array(dtype, [1 << 30], 1, "numpy") for dtype in DTYPES]
    tracemalloc.start()
    for one in (*headers, part(1, 1 << 30)):
        for decoder in DECODERS:
            with pytest.raises(RemoteProtocolError):
                decoder(data_of(packed({"tokens": one, "image": one}), PART))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("encoding", [Encoding.BYTES, Encoding.BUFFER])
@pytest.mark.parametrize("kind", [Job, dict[str, int], np.ndarray, str, int])
def test_bytes_are_no_object(encoding: Encoding, kind: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="payload is not a"):
        PayloadDecoder(kind)(data_of(b"YWJj", encoding=encoding))


@pytest.mark.parametrize("encoding", [Encoding.BYTES, Encoding.BUFFER])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_and_buffers_are_bytes(encoding: Encoding, kind: Any) -> None:
    got = PayloadDecoder(kind)(data_of(b"YWJj", encoding=encoding))
    assert type(got) is kind
    assert got == b"YWJj"


def test_text_is_no_bytes_however_it_comes() -> None:
    for parts, extra in (((), {}), ((PART,), {"unknown": part(1, 8)})):
        body = packed({"image": "YWJj"} | extra)
        with pytest.raises(RemoteProtocolError, match="payload is not a Job"):
            PayloadDecoder(Job)(data_of(body, *parts))


def test_libraries_are_not_imported_for_a_message() -> None:
    before = set(sys.modules)
    for library in ("torch", "jax"):
        got = PayloadDecoder()(data_of(packed(array("int8", [8], 1, library)), PART))
        assert bytes(got.storage) == PART
    assert not {"torch", "jax"} & (set(sys.modules) - before)


NUMBERS = st.integers(0, 4) | st.integers(-(2**63), 2**64 - 1)
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.floats(), st.binary(max_size=20), st.text()
)
HEADERS = st.lists(
    st.sampled_from([*sorted(DTYPES), "numpy", "torch", "jax", ""])
    | st.lists(st.integers(0, 9) | SCALARS, max_size=4)
    | SCALARS,
    max_size=5,
)
ALMOST = st.tuples(
    st.sampled_from(sorted(DTYPES)) | SCALARS,
    st.lists(st.integers(0, 9), max_size=3) | SCALARS,
    st.integers(0, 4) | st.binary(max_size=9),
    st.sampled_from(["numpy", "torch", "jax", ""]) | SCALARS,
)
EXTENSIONS = st.one_of(
    st.builds(lambda header: msgspec.msgpack.Ext(ARRAY, packed(header)), HEADERS),
    st.builds(lambda header: msgspec.msgpack.Ext(ARRAY, packed(header)), ALMOST),
    st.builds(part, st.integers(0, 4), st.integers(0, 9)),
    st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=14)),
)
VALUES = st.recursive(
    SCALARS | EXTENSIONS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["tokens", "image", "many"]), inner)
    ),
    max_leaves=10,
)
PARTS = st.lists(st.binary(max_size=9), max_size=3)


@given(VALUES, PARTS, st.sampled_from(DECODERS))
def test_any_value_gives_a_payload_or_the_typed_error(
    value: Any, parts: list[bytes], decoder: PayloadDecoder
) -> None:
    with suppress(RemoteProtocolError):
        decoder(data_of(packed(value), *parts))


@given(st.binary(max_size=60), PARTS, st.sampled_from(DECODERS))
def test_any_bytes_give_a_payload_or_the_typed_error(
    body: bytes, parts: list[bytes], decoder: PayloadDecoder
) -> None:
    with suppress(RemoteProtocolError):
        decoder(data_of(body, *parts))


@given(VALUES, PARTS, st.data())
def test_a_byte_that_was_changed_gives_a_payload_or_the_typed_error(
    value: Any, parts: list[bytes], data: st.DataObject
) -> None:
    body = bytearray(packed({"many": [value], "image": part(1, 8)}))
    index = data.draw(st.integers(0, len(body) - 1))
    body[index] = data.draw(st.integers(0, 255))
    for decoder in DECODERS:
        with suppress(RemoteProtocolError):
            decoder(data_of(bytes(body), *parts))
