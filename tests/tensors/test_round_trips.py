"""Arrays through the codec: what is put in comes out, whatever its type and layout."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tensors.arrays import LAYOUTS, array_of, arrays, bits_of
from tests.tensors.lending import PlainLoan, as_received

from busduct.codec import MessageCodec
from busduct.errors import FrameTooLargeError, RemoteProtocolError
from busduct.tensors import DTYPES, Tensor


class Batch(msgspec.Struct):
    first: np.ndarray
    optional: np.ndarray | None = None
    many: list[np.ndarray] = []
    named: dict[str, np.ndarray | None] = {}
    inner: "Batch | None" = None


class Weights(msgspec.Struct, tag=True):
    values: np.ndarray


class Stop(msgspec.Struct, tag=True):
    reason: str


class Filled(msgspec.Struct):
    values: list[Tensor]


FILLED = MessageCodec(Filled)
CODEC = MessageCodec(Batch)
BATCHES = st.deferred(
    lambda: st.builds(
        Batch,
        first=arrays(),
        optional=st.none() | arrays(),
        many=st.lists(arrays(), max_size=3),
        named=st.dictionaries(st.text(max_size=5), st.none() | arrays(), max_size=2),
        inner=st.none() | BATCHES,
    )
)


def through(codec: MessageCodec[Any], item: Any, **options: Any) -> Any:
    parts = codec.encode_parts(item, PlainLoan)
    return codec.decode_parts(as_received(parts), **options)


def bits_within(batch: Batch) -> list[Any]:
    found: list[Any] = [batch.first, batch.optional, *batch.many]
    found += [name if a is None else a for name, a in sorted(batch.named.items())]
    bits = [bits_of(a) if isinstance(a, np.ndarray) else a for a in found]
    return bits if batch.inner is None else [*bits, bits_within(batch.inner)]


@given(BATCHES)
def test_what_is_sent_in_parts_arrives_bit_by_bit(batch: Batch) -> None:
    assert bits_within(through(CODEC, batch)) == bits_within(batch)


@given(BATCHES)
def test_what_is_sent_as_one_payload_arrives_bit_by_bit(batch: Batch) -> None:
    assert bits_within(CODEC.decode(CODEC.encode(batch)[1])) == bits_within(batch)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (32, 33)])
def test_every_type_arrives_with_its_type(name: str, shape: tuple[int, ...]) -> None:
    array = array_of(name, shape)
    got = through(CODEC, Batch(array)).first
    assert bits_of(got) == bits_of(array)
    assert got.dtype == array.dtype
    assert got.flags.aligned
    assert got.flags.c_contiguous


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("length", [3, 300, 3000])
def test_every_layout_arrives_in_c_order(layout: str, length: int) -> None:
    array = LAYOUTS[layout](array_of("int32", (length, 4)))
    got = through(CODEC, Batch(array)).first
    assert got.tolist() == array.tolist()
    assert got.dtype == np.int32
    assert got.flags.c_contiguous


def test_arrays_from_512_bytes_on_have_parts_of_their_own() -> None:
    batch = Batch(array_of("uint8", (511,)), array_of("uint8", (512,)))
    payload, part = CODEC.encode_parts(batch, PlainLoan)
    assert len(part) == 512
    assert 511 < len(payload) < 600
    assert len(CODEC.encode(batch)[1]) > 1023


@pytest.mark.parametrize(("nbytes", "kind"), [(16383, bytes), (16384, PlainLoan)])
def test_parts_from_16_kib_on_are_written_into_loans(nbytes: int, kind: type) -> None:
    array = array_of("uint8", (nbytes,))
    for item in (Batch(array), Filled([Tensor.from_array(array)])):
        codec = CODEC if isinstance(item, Batch) else FILLED
        _, part = codec.encode_parts(item, PlainLoan)
        assert type(part) is kind
        assert bytes(part) == array.tobytes()


def test_arrays_beyond_the_parts_of_a_message_travel_in_the_payload() -> None:
    batch = Batch(np.zeros(1), many=[np.full(64, i) for i in range(1100)])
    parts = CODEC.encode_parts(batch, PlainLoan)
    assert len(parts) == 1001
    got = CODEC.decode_parts(as_received(parts))
    assert [array[0] for array in got.many] == list(range(1100))


def test_arrays_that_arrive_are_read_only_views_of_their_parts() -> None:
    parts = CODEC.encode_parts(Batch(array_of("float32", (64, 64))), PlainLoan)
    got = CODEC.decode_parts(as_received(parts)).first
    assert not got.flags.writeable
    before = got.tobytes()
    for index in range(4):
        parts[1][index] ^= 255
    assert got.tobytes()[:4] != before[:4]
    assert got.tobytes()[4:] == before[4:]


@pytest.mark.parametrize("length", [3, 300, 30_000])
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_copies_are_the_receivers_own(name: str, length: int) -> None:
    array = array_of(name, (length,))
    parts = CODEC.encode_parts(Batch(array), PlainLoan)
    got = CODEC.decode_parts(as_received(parts), copy=True).first
    if length == 30_000:
        # NB: this raises while anybody holds a view.
        parts[1].pop()
    assert bits_of(got) == bits_of(array)
    got[...] = 0
    assert not got.any()


def test_part_out_of_line_is_copied_to_align_it() -> None:
    array = array_of("float64", (64,))
    payload, part = CODEC.encode_parts(Batch(array), PlainLoan)
    shifted = memoryview(b"x" + part)[1:]
    got = CODEC.decode_parts([payload, shifted]).first
    assert got.flags.aligned
    assert not got.flags.writeable
    assert bits_of(got) == bits_of(array)


@pytest.mark.parametrize("item", [Weights(np.arange(1000)), Stop("done")])
def test_unions_of_structs_may_hold_arrays(item: Weights | Stop) -> None:
    codec = MessageCodec[Weights | Stop](Weights | Stop)
    got = through(codec, item)
    assert type(got) is type(item)
    assert repr(got) == repr(item)


def test_a_field_that_the_receiver_does_not_know_is_passed_over() -> None:
    class Older(msgspec.Struct):
        first: np.ndarray

    batch = Batch(array_of("int8", (600,)), array_of("int8", (700,)))
    parts = as_received(CODEC.encode_parts(batch, PlainLoan))
    got = MessageCodec(Older).decode_parts(parts)
    assert bits_of(got.first) == bits_of(batch.first)


def test_limit_is_of_the_payload_and_not_of_its_other_parts() -> None:
    codec = MessageCodec(Batch, max_message_bytes=700)
    assert through(codec, Batch(np.zeros(1000))).first.shape == (1000,)
    with pytest.raises(FrameTooLargeError):
        codec.encode(Batch(np.zeros(1000)))
    with pytest.raises(FrameTooLargeError):
        through(codec, Batch(np.zeros(60), np.zeros(60)))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros(2, object), "dtype object cannot be sent"),
        (np.zeros(2, "U3"), "dtype <U3 cannot be sent"),
        (np.zeros(2, "S3"), r"dtype \|S3 cannot be sent"),
        (np.zeros(2, "M8[s]"), r"dtype datetime64\[s\] cannot be sent"),
        (np.zeros(2, "f4,i4"), "cannot be sent"),
        (np.zeros(2, "V4"), "cannot be sent"),
        (np.zeros(2, np.longdouble), "cannot be sent"),
        (np.zeros(2, ml_dtypes.int4), "dtype int4 cannot be sent"),
        (np.ma.masked_array([1, 2], [0, 1]), "masked array cannot be sent"),
        (np.zeros((1,) * 33), "33 dimensions exceed limit of 32"),
    ],
)
def test_what_a_message_cannot_hold_is_told(array: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        CODEC.encode_parts(Batch(array), PlainLoan)
    with pytest.raises(TypeError, match=text):
        CODEC.encode(Batch(array))


def test_hooks_of_the_caller_take_what_is_no_array() -> None:
    class Point(msgspec.Struct):
        place: complex
        values: np.ndarray

    codec = MessageCodec(
        Point,
        enc_hook=lambda value: [value.real, value.imag],
        dec_hook=lambda kind, value: kind(*value),
    )
    got = through(codec, Point(1 + 2j, np.arange(100)))
    assert got.place == 1 + 2j
    assert got.values.sum() == 4950


def test_without_such_a_hook_other_types_are_refused() -> None:
    class Holder(msgspec.Struct):
        values: np.ndarray
        other: Any

    codec = MessageCodec(Holder)
    with pytest.raises(TypeError, match="type range cannot be encoded"):
        codec.encode(Holder(np.zeros(1), range(3)))

    class Place(msgspec.Struct):
        values: np.ndarray
        place: complex

    payload = msgspec.msgpack.encode({"values": ["bool", [0], b""], "place": 1})
    with pytest.raises(RemoteProtocolError, match="Expected `complex`, got `int`"):
        MessageCodec(Place).decode(payload)


def test_codec_without_arrays_has_one_part() -> None:
    codec = MessageCodec(Stop)
    assert not codec.holds_tensors
    assert CODEC.holds_tensors
    assert through(codec, Stop("x")) == Stop("x")


def test_hook_may_use_the_codec_that_called_it() -> None:
    def also_encode(value: complex) -> list[int]:
        through(codec, Holder(0, np.arange(50) + 1))
        return [int(value.real)]

    class Holder(msgspec.Struct):
        number: Any
        values: np.ndarray

    codec = MessageCodec(Holder, enc_hook=also_encode)
    got = through(codec, Holder(3j, np.arange(500)))
    assert got.values.sum() == 499 * 250


def test_threads_may_share_a_codec() -> None:
    # Each is amid its message while the other is.
    together = threading.Barrier(2, timeout=20)

    def loan(nbytes: int) -> PlainLoan:
        together.wait()
        return PlainLoan(nbytes)

    def exchange(number: int) -> set[int]:
        arrays = [np.full(size, number) for size in (1, 3000, 2, 4000)]
        parts = CODEC.encode_parts(Batch(arrays[0], many=arrays), loan)
        got = CODEC.decode_parts(as_received(parts))
        assert [array.size for array in got.many] == [1, 3000, 2, 4000]
        return {value for array in got.many for value in array.tolist()}

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(exchange, [5, 6])) == [{5}, {6}]


def test_tensor_over_a_loan_is_sent_as_it_is() -> None:
    loan = PlainLoan(800)
    loan.as_numpy("float32")[:] = range(200)
    parts = FILLED.encode_parts(Filled([Tensor(loan, "float32", (10, 20))]), PlainLoan)
    assert parts[1] is loan
    (got,) = FILLED.decode_parts(as_received(parts)).values
    assert got.numpy().tolist() == np.arange(200).reshape(10, 20).tolist()


@pytest.mark.parametrize("nbytes", [1024, 65536])
def test_tensor_over_bytes_is_sent_as_it_is_once_and_then_copied(nbytes: int) -> None:
    tensor = Tensor(bytes(range(256)) * (nbytes // 256), "int16")
    _, first, second = FILLED.encode_parts(Filled([tensor, tensor]), PlainLoan)
    assert first is tensor.storage
    assert bytes(second) == first


def test_loan_that_two_fields_share_is_sent_once() -> None:
    tensor = Tensor.lend(PlainLoan, "int16", (512,))
    tensor.numpy()[:] = range(512)
    _, first, second = FILLED.encode_parts(Filled([tensor, tensor]), PlainLoan)
    assert first is tensor.storage
    assert bytes(second) == bytes(first)
    assert second is not first


@pytest.mark.parametrize("nbytes", [1024, 65536])
def test_tensor_over_memory_that_may_change_is_copied(nbytes: int) -> None:
    storage = bytearray(nbytes)
    for tensor in (Tensor(storage, "int16"), Tensor(memoryview(storage), "int16")):
        _, part = FILLED.encode_parts(Filled([tensor]), PlainLoan)
        storage[0] = 1
        assert bytes(part) == bytes(nbytes)
        storage[0] = 0
