"""Payloads of a type that the consumer names, and arrays of other libraries."""

import sys
from types import ModuleType
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from tests.fmq.payloads import comparable, encoded, lend, received, through
from tests.tensors.arrays import array_of, bits_of

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.fmq._payload import PayloadDecoder
from busduct.tensors import Tensor

BIG = bytes(range(256)) * 512


class Job(msgspec.Struct):
    name: str
    image: bytes
    tokens: np.ndarray
    extra: Any = None
    inner: "Job | None" = None


class Viewing(msgspec.Struct):
    image: memoryview


class Cat(msgspec.Struct, tag=True, array_like=True):
    image: bytes


class Dog(msgspec.Struct, tag=True, array_like=True):
    tokens: np.ndarray
    ages: dict[int, float]
    kinds: set[Literal["a", "b"]]


@pytest.mark.parametrize("image", [b"small", BIG])
@pytest.mark.parametrize("length", [3, 30_000])
def test_struct_arrives_as_a_struct(image: bytes, length: int) -> None:
    array = array_of("int32", (length,))
    job = Job("x", image, array, {"more": [image, array]}, Job("y", image, array))
    for got in (through(job, Job), through(msgspec.structs.asdict(job), Job)):
        assert type(got) is type(got.inner) is Job
        assert type(got.image) is bytes
        assert got.image == got.inner.image == image
        assert bits_of(got.tokens) == bits_of(got.inner.tokens) == bits_of(array)
        assert comparable(got.extra) == comparable(job.extra)
        assert not got.tokens.flags.writeable
    assert through(job, Job, copy=True).tokens.flags.writeable


@given(
    st.dictionaries(st.integers(-5, 2**64 - 1), st.floats(allow_nan=False)),
    st.sets(st.sampled_from("ab")),
)
def test_types_mean_the_same_with_parts_and_without(
    ages: dict[int, float], kinds: set[Any]
) -> None:
    for payload in (Dog(np.zeros(9000), ages, kinds), Dog(np.zeros(3), ages, kinds)):
        got = through(payload, Cat | Dog)
        assert type(got) is Dog
        assert (got.ages, got.kinds) == (ages, kinds)
    for image in (b"x", BIG):
        assert through(Cat(image), Cat | Dog) == Cat(image)


@pytest.mark.parametrize("image", [b"x", BIG])
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"name": 1}, r"Expected `str`, got `int` - at `\$\.name`"),
        ({"name": "x"}, "missing required field `tokens`"),
        ({"tokens": 7}, r"int where an array is due - at `\$\.tokens`"),
        ({"tokens": "x"}, "str where an array is due"),
        ({"tokens": [1]}, "list where an array is due"),
        ({"tokens": b"x"}, "bytes where an array is due"),
        ({"tokens": np.zeros(3), "name": np.zeros(3)}, r"Expected `str`, got .* at "),
    ],
)
def test_what_does_not_fit_is_refused(
    payload: dict[str, Any], text: str, image: bytes
) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        through({"name": "x", "image": image} | payload, Job)


@pytest.mark.parametrize("length", [4, 40_000])
@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        (NDArray[np.float32], True),
        (NDArray[np.int8], False),
        (np.ndarray[tuple[int], np.dtype[np.float32]], True),
        (np.ndarray[tuple[int, int], np.dtype[np.float32]], False),
        (Tensor[tuple[int], Literal["float32", "int8"]], True),
        (Tensor[tuple[int], Literal["int8"]], False),
        (list[np.ndarray], False),
        (Tensor | None, True),
    ],
)
def test_type_of_an_array_is_checked(kind: Any, fits: bool, length: int) -> None:
    array = array_of("float32", (length,))
    if not fits:
        with pytest.raises(RemoteProtocolError):
            through(array, kind)
        return
    got = through(array, kind)
    assert bits_of(np.asarray(got)) == bits_of(array)


@pytest.mark.parametrize("length", [4, 40_000])
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_array_and_tensor_arrive_as_what_the_type_says(name: str, length: int) -> None:
    array = array_of(name, (length,))
    tensor = Tensor.from_array(array)
    for sent in (array, tensor):
        assert type(through(sent, Tensor)) is Tensor
        assert type(through(sent, np.ndarray)) is np.ndarray
        assert type(through(sent)) is type(sent)
        assert through(sent, Tensor).tobytes() == array.tobytes()
        assert bits_of(through(sent, np.ndarray)) == bits_of(array)


def test_large_bytes_are_views_where_the_type_says_so() -> None:
    sent = encoded({"image": bytearray(BIG)})
    got = PayloadDecoder(Viewing)(received(sent))
    assert got.image == BIG
    assert got.image.obj is sent.parts[0]


def test_large_bytes_are_no_views_where_anything_may_be() -> None:
    class Either(msgspec.Struct):
        image: memoryview
        other: Any

    got = through({"image": BIG, "other": BIG}, Either)
    assert type(got.image) is memoryview
    assert type(got.other) is bytes


def test_views_within_msgpack_do_not_hold_what_was_received() -> None:
    sent = encoded({"image": b"small"})
    lease = lend(len(sent.body))
    memoryview(lease)[:] = sent.body
    lease = lease.freeze()
    for kind in (Viewing, Any):
        got = PayloadDecoder(kind)(replace(received(sent), body=lease))
        image = got["image"] if isinstance(got, dict) else got.image
        assert image == b"small"
        assert type(image) is bytes or type(image.obj) is bytes


@pytest.mark.parametrize(
    "kind", [msgspec.msgpack.Ext, list[msgspec.msgpack.Ext], NDArray[np.str_]]
)
def test_type_that_cannot_be_checked_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigError):
        PayloadDecoder(kind)


@pytest.mark.parametrize("payload", [[1 + 2j, BIG], [1 + 2j]])
def test_dec_hook_makes_the_other_types(payload: list[Any]) -> None:
    sent = encoded(payload, enc_hook=lambda value: [value.real, value.imag])
    decoder = PayloadDecoder(
        tuple[complex, *(bytes for _ in payload[1:])],
        dec_hook=lambda kind, value: kind(*value),
    )
    assert decoder(received(sent)) == tuple(payload)


def test_array_of_a_type_that_numpy_lacks_arrives_as_a_tensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from busduct.tensors._numpy import as_numpy_dtype

    sent = encoded({"x": array_of("bfloat16", (4,))})
    as_numpy_dtype.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    got = PayloadDecoder()(received(sent))["x"]
    assert type(got) is Tensor
    assert got.dtype == "bfloat16"
    with pytest.raises(RemoteProtocolError, match="bfloat16 needs ml_dtypes"):
        PayloadDecoder(dict[str, np.ndarray])(received(sent))
    as_numpy_dtype.cache_clear()


class Stranger:
    """An array of a library that stands in for one that is not installed."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __dlpack__(self, **options: Any) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


@pytest.mark.parametrize("nbytes", [8, 8192])
def test_array_of_torch_arrives_as_one_where_torch_is_imported(
    monkeypatch: pytest.MonkeyPatch, nbytes: int
) -> None:
    monkeypatch.setattr(Stranger, "__module__", "torch.nn.parameter")
    sent = encoded({"x": Stranger(array_of("uint8", (nbytes,)))})
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert type(PayloadDecoder()(received(sent))["x"]) is Tensor
    torch = ModuleType("torch")
    monkeypatch.setitem(sys.modules, "torch", torch)
    torch.from_dlpack = lambda value: Stranger(np.from_dlpack(value))  # type: ignore[attr-defined]
    for copy in (False, True):
        got = PayloadDecoder(copy=copy)(received(sent))["x"]
        assert type(got) is Stranger
        assert bits_of(got.array) == bits_of(array_of("uint8", (nbytes,)))
        assert got.array.flags.writeable is copy

    def fail(_value: Any) -> Any:
        msg = "a type of elements that this torch does not know"
        raise RuntimeError(msg)

    torch.from_dlpack = fail  # type: ignore[attr-defined]
    assert type(PayloadDecoder()(received(sent))["x"]) is Tensor


def test_array_of_jax_arrives_as_one_unless_jax_would_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stranger, "__module__", "jaxlib._jax")
    sent = encoded([Stranger(np.arange(4.0)), Stranger(np.arange(4.0, dtype="f4"))])
    jax = ModuleType("jax")
    jax.devices = lambda _kind: [None]  # type: ignore[attr-defined]
    jax.device_put = (  # type: ignore[attr-defined]
        lambda array, _device, *, may_alias: array.astype("f4")
    )
    monkeypatch.setitem(sys.modules, "jax", jax)
    wide, narrow = PayloadDecoder()(received(sent))
    assert type(wide) is Tensor
    assert wide.numpy().tolist() == [0, 1, 2, 3]
    assert type(narrow) is np.ndarray
    monkeypatch.delitem(sys.modules, "jax")
    assert [type(x) for x in PayloadDecoder()(received(sent))] == [Tensor, Tensor]


def test_array_of_a_library_that_is_not_known_arrives_as_a_tensor() -> None:
    got = through(Stranger(np.arange(4)))
    assert type(got) is Tensor
    assert got.numpy().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("length", [3, 300, 30_000])
def test_torch_tensors_arrive_as_views(length: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for name in ("float32", "bfloat16", "uint8"):
        sent = torch.arange(length).to(getattr(torch, name))
        for got in (through(sent), through([sent])[0], through(sent, torch.Tensor)):
            assert type(got) is torch.Tensor
            assert got.dtype == sent.dtype
            assert torch.equal(got.view(torch.uint8), sent.view(torch.uint8))
        copied = through({"x": sent}, copy=True)["x"]
        copied.fill_(0)
    with pytest.raises(TypeError, match="payload is of type Tensor"):
        encoded(torch.zeros(3, requires_grad=True))


@pytest.mark.parametrize("length", [3, 300, 30_000])
def test_jax_arrays_arrive_as_jax_arrays(length: int) -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    for name in ("float32", "bfloat16", "int32"):
        sent = jax.numpy.arange(length).astype(name)
        for got in (through(sent), through([sent])[0], through(sent, jax.Array)):
            assert isinstance(got, jax.Array)
            assert got.dtype == sent.dtype
            assert (got == sent).all()
