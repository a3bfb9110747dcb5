"""Headers that a peer made up: a typed error each, and nothing taken for them."""

import sys
import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.codec import MessageCodec
from busduct.errors import MalformedFrameError, RemoteProtocolError
from busduct.tensors import DTYPES, Tensor


class Holder(msgspec.Struct):
    values: list[np.ndarray] = []
    tensors: list[Tensor] = []


CODEC = MessageCodec(Holder)
HUGE = 2**63 - 1


def decode(headers: list[Any], *parts: bytes, **options: Any) -> Any:
    payload = msgspec.msgpack.encode({"values": headers})
    return CODEC.decode_parts([payload, *parts], **options)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "a tensor is"),
        (7, "a tensor is"),
        ({}, "a tensor is"),
        ([], "a tensor is"),
        (["int8", [8]], "a tensor is"),
        (["int8", [8], 1, 1], "a tensor is"),
        ([1, [8], 1], "dtype's name"),
        ([None, [8], 1], "dtype's name"),
        (["int8", 8, 1], "list of lengths"),
        (["int8", {}, 1], "list of lengths"),
        (["object", [8], 1], "dtype 'object' is not one of"),
        (["O", [8], 1], "is not one of"),
        (["|V8", [1], 1], "is not one of"),
        ([">i4", [2], 1], "is not one of"),
        (["i4,i4", [1], 1], "is not one of"),
        (["__class__", [8], 1], "is not one of"),
        (["x" * 100_000, [8], 1], "is not one of"),
        (["int8", [-8], 1], "integers from 0"),
        (["int8", [-4, -2], 1], "integers from 0"),
        (["int8", [8.0], 1], "integers from 0"),
        (["int8", ["8"], 1], "integers from 0"),
        (["int8", [True] * 8, 1], "integers from 0"),
        (["int8", [None], 1], "integers from 0"),
        (["int8", [[8]], 1], "integers from 0"),
        (["int8", [1] * 33 + [8], 1], "34 dimensions exceed limit of 32"),
        (["int8", [2**32, 2**32, 2], 1], "shape exceeds limit"),
        (["int64", [2**61], 1], "shape exceeds limit"),
        (["int8", [2**64 - 1], 1], "shape exceeds limit"),
        (["int8", [0, HUGE, HUGE], 1], "shape exceeds limit"),
        (["int8", [0, 2**64 - 1], b""], "shape exceeds limit"),
        (["int8", [HUGE], 1], "8 bytes where the shape has"),
        (["int8", [7], 1], "8 bytes where the shape has 7"),
        (["int8", [9], 1], "8 bytes where the shape has 9"),
        (["int64", [8], 1], "8 bytes where the shape has 64"),
        (["int8", [0], 1], "8 bytes where the shape has 0"),
        (["int8", [8], 0], "part 0 of 1"),
        (["int8", [8], -1], "part -1 of 1"),
        (["int8", [8], 2], "part 2 of 1"),
        (["int8", [8], 2**64 - 1], "part 18446744073709551615 of 1"),
        (["int8", [8], True], "neither bytes nor"),
        (["int8", [8], 1.0], "neither bytes nor"),
        (["int8", [8], None], "neither bytes nor"),
        (["int8", [8], "12345678"], "neither bytes nor"),
        (["int8", [8], [1]], "neither bytes nor"),
        (["int8", [8], b"1234567"], "7 bytes where the shape has 8"),
        (["int8", [HUGE], b"1"], "1 bytes where the shape has"),
    ],
)
@pytest.mark.parametrize("field", ["values", "tensors"])
def test_header_is_refused_by_what_is_wrong(header: Any, text: str, field: str) -> None:
    payload = msgspec.msgpack.encode({field: [header]})
    with pytest.raises(RemoteProtocolError, match=text) as raised:
        CODEC.decode_parts([payload, bytes(8)])
    assert str(raised.value).endswith(f"at `$.{field}[0]`")
    assert len(str(raised.value)) < 500


def test_part_is_used_once() -> None:
    header = ["int8", [8], 1]
    with pytest.raises(RemoteProtocolError, match="part 1 is used twice"):
        decode([header, header], bytes(8))


def test_many_references_to_a_part_are_not_so_many_copies() -> None:
    big = bytes(1 << 20)
    headers = [["uint8", [1 << 20], 1]] * 1000
    tracemalloc.start()
    with pytest.raises(RemoteProtocolError):
        decode(headers, big, copy=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_announced_bytes_are_not_allocated() -> None:
    tracemalloc.start()
    for dtype in DTYPES:
        for copy in (False, True):
            with pytest.raises(RemoteProtocolError):
                decode([[dtype, [1 << 30], 1]], bytes(8), copy=copy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_number_of_a_part_without_parts_is_refused() -> None:
    payload = msgspec.msgpack.encode({"values": [["int8", [8], 1]]})
    with pytest.raises(RemoteProtocolError, match="part 1 of 0"):
        CODEC.decode(payload)


def test_extension_type_is_no_header() -> None:
    with pytest.raises(RemoteProtocolError, match="extension type 3 is refused"):
        decode([msgspec.msgpack.Ext(3, b"x")])


def test_payload_that_is_cut_is_malformed() -> None:
    payload = msgspec.msgpack.encode({"values": [["int8", [8], 1]]})
    with pytest.raises(MalformedFrameError):
        CODEC.decode_parts([payload[:-1], bytes(8)])


def test_bits_that_are_no_truth_value_count_as_true() -> None:
    got = decode([["bool", [4], b"\x00\x01\x02\xff"]]).values[0]
    assert np.count_nonzero(got) == 3
    assert np.arange(4)[got].tolist() == [1, 2, 3]


def test_type_that_the_library_lacks_is_the_peers_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from busduct.tensors._numpy import as_numpy_dtype

    as_numpy_dtype.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(RemoteProtocolError, match="bfloat16 needs ml_dtypes"):
        decode([["bfloat16", [4], 1]], bytes(8))
    as_numpy_dtype.cache_clear()
    payload = msgspec.msgpack.encode({"tensors": [["bfloat16", [4], 1]]})
    assert CODEC.decode_parts([payload, bytes(8)]).tensors[0].dtype == "bfloat16"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 4),
    st.floats(),
    st.binary(max_size=20),
    st.text(max_size=5),
    st.sampled_from(sorted(DTYPES)),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
ALMOST = st.tuples(
    st.sampled_from(sorted(DTYPES)) | SCALARS,
    st.lists(st.integers(0, 9) | SCALARS, max_size=4) | SCALARS,
    st.integers(-1, 4) | SCALARS,
)


@given(st.lists(VALUES | ALMOST, max_size=4), st.lists(st.binary(max_size=64)))
def test_any_header_gives_arrays_or_the_typed_error(
    headers: list[Any], parts: list[bytes]
) -> None:
    try:
        got = decode(headers, *parts)
    except RemoteProtocolError:
        return
    for array in got.values:
        assert array.tobytes() in [*parts, *(header[2] for header in headers)]
