"""What a field's type says of its array is kept to, and checked at the start."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, TypeVar

import ml_dtypes
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.tensors.lending import PlainLoan, as_received

from busduct.codec import MessageCodec
from busduct.errors import ConfigError, RemoteProtocolError
from busduct.tensors import Tensor
from busduct.tensors._numpy import require_numpy

Length = TypeVar("Length", bound=int)


def struct_of(field: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct("Holder", [("values", field)])


def through(field: Any, array: Any) -> Any:
    holder = struct_of(field)
    codec = MessageCodec(holder)
    parts = codec.encode_parts(holder(array), PlainLoan)
    return codec.decode_parts(as_received(parts)).values


PAIRS = np.ndarray[tuple[int, Literal[2]], np.dtype[np.float32]]


@pytest.mark.parametrize(
    ("field", "array"),
    [
        (np.ndarray, np.zeros(3)),
        (Annotated[np.ndarray, "anything"], np.zeros(3)),
        (NDArray[np.float64], np.zeros(3)),
        (NDArray[Any], np.zeros(3)),
        (NDArray[np.generic], np.zeros(3, ml_dtypes.bfloat16)),
        (NDArray[np.floating[Any]], np.zeros(3, np.float16)),
        (NDArray[np.float32 | np.int8], np.zeros(3, np.int8)),
        (NDArray[np.longlong], np.zeros(3, np.int64)),
        (NDArray[ml_dtypes.bfloat16], np.zeros(3, ml_dtypes.bfloat16)),
        (PAIRS, np.zeros((7, 2), np.float32)),
        (PAIRS | None, np.zeros((7, 2), np.float32)),
        (np.ndarray[tuple[()], np.dtype[np.int8]], np.zeros((), np.int8)),
        (np.ndarray[tuple[int, ...], np.dtype[np.int8]], np.zeros((1, 2), np.int8)),
        (np.ndarray[tuple[Literal[1, 2]], np.dtype[np.int8]], np.zeros(2, np.int8)),
        (np.ndarray[tuple[Any, Length], np.dtype[np.int8]], np.zeros((1, 2), np.int8)),
    ],
)
def test_array_that_fits_its_field_arrives(field: Any, array: Any) -> None:
    got = through(field, array)
    assert got.dtype == array.dtype
    assert got.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("field", "array", "text"),
    [
        (NDArray[np.float32], np.zeros(3), "dtype float64 where float32 is due"),
        (
            NDArray[np.complexfloating[Any, Any]],
            np.zeros(3),
            "dtype float64 where complex128 or complex64 is due",
        ),
        (NDArray[np.floating[Any]], np.zeros(3, ml_dtypes.bfloat16), "bfloat16 where"),
        (
            PAIRS,
            np.zeros((2, 3), np.float32),
            r"shape \(2, 3\) where \(any, 2\) is due",
        ),
        (PAIRS, np.zeros(2, np.float32), r"shape \(2,\) where \(any, 2\) is due"),
        (PAIRS | None, np.zeros((1, 2)), "dtype float64 where float32 is due"),
        (list[PAIRS], [np.zeros((1, 2))], r"due - at `\$.values\[0\]`"),
        (dict[str, PAIRS], {"a": np.zeros((1, 2))}, r"due - at `\$.values\[...\]`"),
    ],
)
def test_array_that_does_not_fit_its_field_is_refused(
    field: Any, array: Any, text: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        through(field, array)


HALVES = Tensor[tuple[int, Literal[2]], Literal["float16", "bfloat16"]]


def test_tensor_fields_say_the_same_by_literals() -> None:
    assert through(HALVES, Tensor(bytes(8), "bfloat16", (2, 2))).dtype == "bfloat16"
    assert through(HALVES, np.zeros((3, 2), np.float16)).shape == (3, 2)
    assert through(Tensor[Any, Any], np.zeros(3)).dtype == "float64"
    with pytest.raises(RemoteProtocolError, match="where bfloat16 or float16 is due"):
        through(HALVES, np.zeros((3, 2)))
    with pytest.raises(RemoteProtocolError, match=r"\(3,\) where \(any, 2\) is due"):
        through(HALVES, np.zeros(3, np.float16))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (NDArray[np.object_], "is not one of bool"),
        (NDArray[np.str_], "is not one of bool"),
        (list[NDArray[np.datetime64]], "is not one of bool"),
        (dict[str, NDArray[np.void] | None], "is not one of bool"),
        (np.ndarray[tuple[str], np.dtype[np.int8]], "length of a dimension"),
        (np.ndarray[tuple[Literal["a"]], np.dtype[np.int8]], "length of a dimension"),
        (Tensor[tuple[int], Literal["f4"]], "names a dtype that is not one of"),
        (Tensor[tuple[float], Any], "length of a dimension"),
    ],
)
def test_type_that_nothing_fulfils_is_refused_at_once(field: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        MessageCodec(struct_of(field))
    with pytest.raises(ConfigError, match=text):
        MessageCodec[Any](field)

    @dataclass
    class Inner:
        values: field

    class Outer(msgspec.Struct):
        inner: list[Inner]

    with pytest.raises(ConfigError, match=text):
        MessageCodec(Outer)


def test_arrays_may_be_in_whatever_msgspec_knows() -> None:
    @dataclass
    class Data:
        values: NDArray[np.int8]

    class Named(NamedTuple):
        values: NDArray[np.int8]

    class Keyed(TypedDict):
        values: NDArray[np.int8]

    class Outer(msgspec.Struct):
        a: Data
        b: Named
        c: Keyed
        d: tuple[NDArray[np.int8], int]

    values = np.arange(5, dtype=np.int8)
    codec = MessageCodec(Outer)
    item = Outer(Data(values), Named(values), {"values": values}, (values, 1))
    got = codec.decode(codec.encode(item)[1])
    for array in (got.a.values, got.b.values, got.c["values"], got.d[0]):
        assert array.tolist() == values.tolist()
    bad = Outer(Data(values), Named(values), {"values": values * 1.5}, (values, 1))
    with pytest.raises(RemoteProtocolError, match="float64 where int8 is due"):
        codec.decode(codec.encode(bad)[1])


def test_an_array_may_be_the_message() -> None:
    codec = MessageCodec[Any](NDArray[np.int8])
    assert codec.decode(codec.encode(np.zeros(3, np.int8))[1]).shape == (3,)
    with pytest.raises(RemoteProtocolError):
        codec.decode(codec.encode(np.zeros(3))[1])


def test_importing_and_using_busduct_imports_no_library() -> None:
    code = """
import sys, msgspec
from busduct.codec import MessageCodec
from busduct.tensors import Tensor
import busduct.transport
class Holder(msgspec.Struct):
    values: Tensor[tuple[int], "object"]
codec = MessageCodec(Holder)
item = Holder(Tensor(bytes(2000), "bfloat16", (1000,)))
parts = codec.encode_parts(item, bytearray)
assert len(parts) == 2
assert codec.decode_parts(parts).values.tobytes() == bytes(2000)
assert codec.decode(codec.encode(item)[1]).values.shape == (1000,)
found = {"numpy", "ml_dtypes", "torch", "jax", "ctypes"} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_without_numpy_an_array_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_numpy.cache_clear()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'busduct\[tensors\]'"):
        Tensor(bytes(8), "float32").numpy()


@pytest.mark.parametrize("length", [3, 30_000])
def test_fields_of_torch_are_views_that_torch_knows(length: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for name in ("float32", "bfloat16", "float8_e4m3fn", "bool", "int64"):
        sent = torch.arange(length).to(getattr(torch, name))
        for given in (sent, sent.reshape(-1, 1).T):
            got = through(torch.Tensor, given)
            assert got.dtype == sent.dtype
            assert got.shape == given.shape
            assert torch.equal(got.view(torch.uint8), given.view(torch.uint8))
    holder = struct_of(torch.Tensor)
    codec = MessageCodec(holder)
    parts = as_received(codec.encode_parts(holder(torch.zeros(8192)), PlainLoan))
    view = codec.decode_parts(parts).values
    assert view.data_ptr() == np.frombuffer(parts[1], np.uint8).ctypes.data
    copy = codec.decode_parts(parts, copy=True).values
    assert copy.data_ptr() != view.data_ptr()
    copy += 1
    assert float(copy.sum()) == 8192.0
    assert float(view.sum()) == 0.0


@pytest.mark.parametrize("length", [3, 30_000])
def test_fields_of_jax_are_arrays_that_jax_knows(length: int) -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    for name in ("float32", "bfloat16", "float8_e4m3fn", "bool", "int32"):
        sent = jax.numpy.arange(length).astype(name)
        got = through(jax.Array, sent)
        assert isinstance(got, jax.Array)
        assert got.dtype == sent.dtype
        assert np.asarray(got).tobytes() == np.asarray(sent).tobytes()


def test_library_that_lacks_a_type_is_the_peers_error() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    holder = struct_of(torch.Tensor)
    codec = MessageCodec(holder)
    tensor = Tensor(bytes(8), "float8_e3m4", (8,))
    with pytest.raises(RemoteProtocolError):
        codec.decode(codec.encode(holder(tensor))[1])
