"""What is put into a queue comes out of it, as what it was."""

import dataclasses
import datetime
import mmap
import uuid
from array import array
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fmq.payloads import comparable, encoded, lend, lender, received, through
from tests.tensors.arrays import array_of, arrays

from busduct.errors import ClosedError, FrameTooLargeError, PayloadError
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._wire import Encoding
from busduct.tensors import Tensor

BIG = bytes(range(256)) * 512
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=40),
    st.sampled_from([BIG, BIG[:65535], BIG[:65536]]),
)
PAYLOADS = st.recursive(
    SCALARS | arrays(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


class Request(msgspec.Struct, frozen=True):
    name: str
    image: bytes
    tokens: np.ndarray
    inner: "Request | None" = None


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    image: bytes
    number: int = 0


@given(PAYLOADS)
def test_any_payload_arrives_as_it_was(payload: Any) -> None:
    got = through(payload)
    assert comparable(got) == comparable(payload)
    assert type(got) is type(payload)


@pytest.mark.parametrize("nbytes", [0, 1, 16383, 16384, 1 << 20])
def test_bytes_are_held_and_arrive_as_bytes(nbytes: int) -> None:
    payload = bytes(nbytes)
    sent = encoded(payload)
    assert sent.body is payload
    assert sent.encoding is Encoding.BYTES
    assert sent.is_large is (nbytes >= 1 << 20)
    assert type(through(payload)) is bytes
    view = through(payload, views=True)
    assert type(view) is memoryview
    assert view.readonly
    assert view == payload


@pytest.mark.parametrize("nbytes", [0, 1, 16383, 16384, 1 << 20])
@pytest.mark.parametrize("kind", [bytearray, memoryview, "loan", "lease"])
def test_buffers_arrive_as_read_only_views(
    backend: ModuleType, kind: Any, nbytes: int
) -> None:
    content = (BIG * 8)[:nbytes]
    with lender(backend) as loan:
        payload = loan(nbytes) if isinstance(kind, str) else kind(content)
        if isinstance(kind, str):
            memoryview(payload)[:] = content
            payload = payload if kind == "loan" else payload.freeze()
        sent = encoded(payload, loan=loan)
        assert sent.encoding is Encoding.BUFFER
        assert sent.nbytes == nbytes
        assert sent.is_large is (nbytes >= 1 << 20)
        view = PayloadDecoder()(received(sent))
        assert type(view) is memoryview
        assert view.readonly
        assert view == content
        copied = PayloadDecoder(copy=True)(received(sent))
        assert type(copied) is bytearray
        assert copied == content
        del view


def test_objects_at_the_threshold_are_large() -> None:
    for payload in ({"x": BIG}, {"x": "x" * 1000}, np.zeros(9000), "x" * 1000):
        nbytes = encoded(payload).nbytes
        assert encoded(payload, threshold=nbytes).is_large
        assert not encoded(payload, threshold=nbytes + 1).is_large


@pytest.mark.parametrize("nbytes", [100, 100_000])
def test_buffer_may_change_once_it_was_given(nbytes: int) -> None:
    payload = bytearray(nbytes)
    sent = encoded(payload), encoded({"x": payload}), encoded(memoryview(payload))
    payload[:] = b"x" * nbytes
    first, second, third = (PayloadDecoder()(received(one)) for one in sent)
    assert bytes(first) == second["x"] == bytes(third) == bytes(nbytes)


def test_buffer_of_any_layout_arrives_as_its_bytes() -> None:
    elements = np.arange(160_000, dtype="int32").reshape(400, 400)
    for one in (elements, elements[::2, ::-3], elements[:9, ::2]):
        assert through(memoryview(one)) == one.tobytes()
        assert through({"x": memoryview(one)}) == {"x": one.tobytes()}


@pytest.mark.parametrize("nbytes", [10, 100_000])
def test_loan_is_given_up_and_not_copied(backend: ModuleType, nbytes: int) -> None:
    with lender(backend) as loan:
        for wrap in (lambda lent: lent, lambda lent: {"x": [lent]}):
            lent = loan(nbytes)
            memoryview(lent)[:] = bytes(nbytes)
            sent = encoded(wrap(lent), loan=pytest.fail)
            assert lent.released
            got = PayloadDecoder()(received(sent))
            assert (got["x"][0] if isinstance(got, dict) else got) == bytes(nbytes)
            with pytest.raises(ClosedError):
                encoded(wrap(lent), loan=loan)


def test_loan_with_views_is_refused_and_stays(backend: ModuleType) -> None:
    with lender(backend) as loan:
        lent = loan(100_000)
        view = memoryview(lent)
        for payload in (lent, {"x": lent}):
            with pytest.raises(BufferError):
                encoded(payload, loan=loan)
        assert not lent.released
        view.release()
        encoded(lent, loan=loan)
        assert lent.released


@pytest.mark.parametrize("wrap", [list, tuple, lambda items: dict(enumerate(items))])
def test_large_bytes_within_an_object_are_parts_by_reference(wrap: Any) -> None:
    payload = wrap([1, BIG, {"deeper": [BIG, "x"]}, BIG[:65535]])
    sent = encoded(payload)
    assert [part is BIG for part in sent.parts] == [True, True]
    assert len(sent.body) < 65700
    assert sent.nbytes == len(sent.body) + 2 * len(BIG)
    got = through(payload)
    assert got == (list(payload) if isinstance(payload, tuple) else payload)
    assert type(got[1]) is bytes
    view = through(payload, views=True)[1]
    assert type(view) is memoryview
    assert view.readonly
    assert view == BIG


@pytest.mark.parametrize("make", [Step, lambda image: Request("", image, np.zeros(1))])
def test_large_bytes_of_a_field_are_parts(make: Any) -> None:
    sent = encoded([make(BIG)])
    assert sent.parts == (BIG,)
    assert sent.parts[0] is BIG
    assert PayloadDecoder()(received(sent))[0]["image"] == BIG
    assert type(PayloadDecoder(list[type(make(b""))])(received(sent))[0].image) is bytes


def test_type_that_says_less_than_it_holds_is_sent_all_the_same() -> None:
    class Loose(msgspec.Struct):
        name: str
        items: list[int] = []

    class Unknown(msgspec.Struct):
        item: "NoSuchType"  # type: ignore[name-defined]  # noqa: F821

    for item in (BIG, np.arange(3), np.arange(9000), lend(20_000).freeze()):
        got = through([Loose("x", [1, item]), Loose(item)])
        assert comparable(got[0]["items"][1]) == comparable(through(item))
        assert comparable(got[1]["name"]) == comparable(through(item))
        assert comparable(through(Unknown(item))["item"]) == comparable(through(item))


def test_what_is_put_is_not_changed() -> None:
    inner = {"x": BIG}
    request, step = Request("", BIG, np.zeros(1)), Step(BIG)
    payload: Any = {"list": [BIG, inner], "tuple": (BIG,), "both": [request, step]}
    encoded(payload)
    assert payload["list"] == [BIG, inner]
    assert payload["list"][1] is inner
    assert payload["tuple"][0] is inner["x"] is BIG
    assert request.image is step.image is BIG
    assert payload["both"] == [request, step]


def test_large_bytes_are_found_behind_much_else() -> None:
    payload = {str(index): [index] for index in range(100)} | {"payload": BIG}
    assert len(encoded(payload).parts) == 1
    payload = {"many": [[1]] * 10_000, "payload": BIG}
    assert len(encoded(payload).parts) == 0
    assert through(payload)["payload"] == BIG


def test_long_lists_of_numbers_are_not_looked_through() -> None:
    payload: Any = [[0] * 17 + [BIG], BIG]
    assert encoded(payload).parts == (BIG,)
    assert through(payload) == payload
    assert encoded(payload[0]).parts == ()


def test_more_large_values_than_parts_travel_in_the_msgpack() -> None:
    arrays = [np.full(100, index) for index in range(900)]
    for payload in ([BIG[:65536]] * 200 + arrays, [BIG[:65536]] * 1010):
        sent = encoded(payload)
        assert len(sent.parts) == 1000
        assert comparable(PayloadDecoder()(received(sent))) == comparable(payload)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("length", [0, 3, 300, 30_000])
def test_arrays_are_read_only_views_or_copies_of_their_own(
    backend: ModuleType, name: str, length: int
) -> None:
    elements = array_of(name, (length,))
    with lender(backend) as loan:
        for payload in (elements, {"x": [elements]}):
            data = received(encoded(payload, loan=loan))
            for copy in (False, True):
                got = PayloadDecoder(copy=copy)(data)
                got = got if isinstance(got, np.ndarray) else got["x"][0]
                assert comparable(got) == comparable(elements)
                assert got.flags.writeable is copy
                if copy:
                    got[...] = 0
                del got


def test_memory_is_lent_for_what_is_large() -> None:
    lent: list[int] = []

    def loan(nbytes: int) -> Any:
        lent.append(nbytes)
        return lend(nbytes)

    for payload in (np.zeros(2047), np.zeros(2048), {"x": np.zeros(4096)}):
        encoded(payload, loan=loan)
    for buffer in (bytearray(16383), bytearray(16384), BIG, {"x": BIG}):
        encoded(buffer, loan=loan)
    encoded({"x": bytearray(BIG)}, loan=loan)
    assert lent == [16384, 32768, 16384, len(BIG)]


def test_scalars_of_numpy_arrive_as_numbers() -> None:
    payload = {"loss": np.float32(0.5), "step": np.int64(3), "done": np.bool_(True)}
    got = through(payload)
    assert got == {"loss": 0.5, "step": 3, "done": True}
    assert [type(item) for item in got.values()] == [float, int, bool]


def test_what_msgpack_knows_arrives_typed_or_plain() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert through({"at": moment}) == {"at": moment}
    number = uuid.uuid4()
    got = through([number, Decimal("1.5"), BIG], tuple[uuid.UUID, Decimal, bytes])
    assert got == (number, Decimal("1.5"), BIG)


def test_enc_hook_takes_what_is_left() -> None:
    sent = encoded(
        {"z": 1 + 2j, "x": np.ones(100), "far": [[{}]] * 99 + [[3j]]},
        enc_hook=lambda value: [value.real, value.imag],
    )
    got = PayloadDecoder()(received(sent))
    assert got["z"] == [1.0, 2.0]
    assert got["x"].sum() == 100
    assert got["far"][-1] == [[0.0, 3.0]]


def test_what_enc_hook_makes_may_be_large() -> None:
    sent = encoded({"z": 1j}, enc_hook=lambda _value: {"image": BIG})
    assert sent.parts[0] is BIG
    assert PayloadDecoder()(received(sent)) == {"z": {"image": BIG}}


@pytest.mark.parametrize(
    "payload",
    [bytes(101), bytearray(101), "x" * 101, {"x": bytes(101)}, np.zeros(101, "u1")],
)
def test_what_is_over_the_limit_is_refused(payload: Any) -> None:
    with pytest.raises(FrameTooLargeError) as raised:
        encoded(payload, max_bytes=100, loan=pytest.fail)
    assert raised.value.limit == 100
    assert raised.value.size > 100


@pytest.mark.parametrize(
    "payload", [bytearray(1 << 20), np.zeros(1 << 20, "u1"), {"x": bytearray(1 << 20)}]
)
def test_no_memory_is_lent_for_what_is_over_the_limit(payload: Any) -> None:
    with pytest.raises(FrameTooLargeError):
        encoded(payload, max_bytes=1 << 19, loan=pytest.fail)


def test_bytes_beyond_what_msgpack_can_say_are_refused() -> None:
    with mmap.mmap(-1, 2**32 + 1) as memory, memoryview(memory) as view:
        for payload in (view, memory, {"x": view}, {"x": memory}):
            with pytest.raises(FrameTooLargeError):
                encoded(payload, loan=pytest.fail)
        with pytest.raises(PayloadError, match=r"longer than 2\*\*32 - 1"):
            encoded([0] * 17 + [view])


def test_the_limit_is_of_all_parts_together() -> None:
    payload = [np.zeros(1 << 10), np.zeros(1 << 10)]
    nbytes = encoded(payload).nbytes
    assert encoded(payload, max_bytes=nbytes).nbytes == nbytes
    with pytest.raises(FrameTooLargeError):
        encoded(payload, max_bytes=nbytes - 1)


def test_loan_that_is_twice_in_a_payload_arrives_twice() -> None:
    lent = lend(20_000)
    sent = encoded([lent, lent])
    assert PayloadDecoder()(received(sent)) == [bytes(20_000)] * 2


def test_tensor_that_was_received_is_sent_on_without_a_copy() -> None:
    lease = received(encoded(np.arange(4096))).parts[0]
    sent = encoded({"x": Tensor(lease, "int64")}, loan=pytest.fail)
    assert sent.parts[0] is lease
    assert PayloadDecoder()(received(sent))["x"].numpy().tolist() == [*range(4096)]


def test_tensor_over_a_loan_is_sent_without_a_copy(backend: ModuleType) -> None:
    with lender(backend) as loan:
        tensor = Tensor.lend(loan, "int64", (64, 64))
        values = tensor.numpy()
        values[...] = np.arange(4096).reshape(64, 64)
        with pytest.raises(BufferError):
            encoded([tensor], loan=pytest.fail)
        del values
        sent = encoded([tensor], loan=pytest.fail)
        assert tensor.storage.released
        (got,) = PayloadDecoder()(received(sent))
        assert got.numpy().ravel().tolist() == [*range(4096)]
        del got


@pytest.mark.parametrize("size", [3, 30_000])
def test_any_other_buffer_arrives_as_its_bytes(size: int) -> None:
    payload = array("h", [7]) * size
    assert through(payload) == payload.tobytes()
    assert through({"x": payload}) == {"x": payload.tobytes()}
    with mmap.mmap(-1, size) as memory:
        memory[:] = bytes([9]) * size
        assert through(memory) == through({"x": memory})["x"] == bytes([9]) * size


def test_lease_that_was_released_is_told(backend: ModuleType) -> None:
    with lender(backend) as loan:
        lease = loan(20_000).freeze()
        lease.release()
        for payload in (lease, {"x": lease}):
            with pytest.raises(ClosedError):
                encoded(payload, loan=loan)
