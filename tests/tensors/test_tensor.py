"""An array of no library: its bounds, its views, and its exchange with libraries."""

import gc
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from tests.tensors.arrays import LIBRARY_TYPES, array_of, arrays, bits_of
from tests.tensors.lending import PlainLoan

from busduct.errors import ConfigError
from busduct.tensors import DTYPES, Tensor


class Device:
    """An array that lies elsewhere."""

    def __init__(self, device_type: int) -> None:
        self._device_type = device_type

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device_type, 0

    def __dlpack__(self, **_options: object) -> object:
        raise AssertionError


class Older:
    """An exporter of DLPack before 1.0, which takes no version."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, stream: object = None) -> object:
        return self._array.__dlpack__(stream=stream)


def test_what_it_is_can_be_asked() -> None:
    tensor = Tensor(bytes(48), "bfloat16", (2, 3, 4))
    assert (tensor.dtype, tensor.shape, tensor.ndim) == ("bfloat16", (2, 3, 4), 3)
    assert (tensor.nbytes, tensor.storage) == (48, bytes(48))
    assert repr(tensor) == "Tensor(dtype='bfloat16', shape=(2, 3, 4))"
    assert tensor.__dlpack_device__() == (1, 0)


def test_without_a_shape_it_has_one_dimension() -> None:
    assert Tensor(bytes(8)).shape == (8,)
    assert Tensor(bytes(8), "float64").shape == (1,)
    assert Tensor(memoryview(bytes(8)), "float16").shape == (4,)


@pytest.mark.parametrize(
    ("storage", "dtype", "shape", "text"),
    [
        (bytes(8), "f4", None, "dtype 'f4' is not one of bool, int8"),
        (bytes(9), "float32", None, "9 bytes where the shape has 8"),
        (bytes(8), "float32", (3,), "8 bytes where the shape has 12"),
        (bytes(8), "float32", (), "8 bytes where the shape has 4"),
        (bytes(8), "float32", (-1, -2), "integers from 0"),
        (bytes(0), "float32", (0, 2**63), "shape exceeds limit"),
        (bytes(1), "int8", (1,) * 33, "33 dimensions exceed limit of 32"),
    ],
)
def test_what_contradicts_itself_is_refused(
    storage: bytes, dtype: str, shape: Any, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        Tensor(storage, dtype, shape)


@given(arrays())
def test_arrays_of_numpy_come_back_as_they_were(array: Any) -> None:
    tensor = Tensor.from_array(array)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    assert tensor.tobytes() == little.tobytes()
    assert bits_of(tensor.numpy()) == bits_of(array)
    assert bits_of(np.asarray(tensor)) == bits_of(array)


@pytest.mark.parametrize("name", DTYPES)
def test_views_share_the_memory_and_hold_it(name: str) -> None:
    storage = PlainLoan(64)
    tensor = Tensor(storage, name)
    view = tensor.numpy()
    assert view.dtype == LIBRARY_TYPES[name]
    storage[0] = 1
    assert view.view(np.uint8)[0] == 1
    view.view(np.uint8)[1] = 1
    assert storage[1] == 1
    with pytest.raises(BufferError):
        storage.pop()
    del view
    storage.pop()


def test_views_are_read_only_where_the_memory_is() -> None:
    tensor = Tensor(bytes(16), "bfloat16")
    assert not tensor.numpy().flags.writeable
    assert not np.from_dlpack(Tensor(bytes(16), "int8")).flags.writeable
    assert Tensor(bytearray(16), "bfloat16").numpy().flags.writeable


def test_memory_out_of_line_is_copied_by_numpy_and_not_by_the_tensor() -> None:
    array = array_of("float32", (4,))
    tensor = Tensor(memoryview(b"x" + array.tobytes())[1:], "float32")
    got = tensor.numpy()
    assert got.flags.aligned
    assert bits_of(got) == bits_of(array)


def test_array_that_is_contiguous_is_not_copied() -> None:
    array = np.zeros(4)
    tensor = Tensor.from_array(array)
    array[0] = 7
    assert tensor.numpy()[0] == 7
    copied = Tensor.from_array(array[::2])
    array[0] = 8
    assert copied.numpy()[0] == 7


def test_asarray_takes_a_type_and_may_refuse_to_copy() -> None:
    tensor = Tensor.from_array(np.arange(3, dtype=np.int16))
    assert np.asarray(tensor, np.float64).tolist() == [0.0, 1.0, 2.0]
    assert np.shares_memory(np.asarray(tensor), tensor.numpy())
    assert not np.shares_memory(np.array(tensor, copy=True), tensor.numpy())
    with pytest.raises(ValueError, match="copy"):
        np.asarray(tensor, np.float64, copy=False)


def test_capsule_names_the_type_and_holds_the_memory() -> None:
    for name, dtype in DTYPES.items():
        array = array_of(name, (3, 5))
        tensor = Tensor.from_array(array)
        again = Tensor.from_array(Older(tensor) if name == "int8" else tensor)
        assert again.dtype == name
        assert bits_of(again.numpy()) == bits_of(array)
        held = weakref.ref(tensor)
        del tensor
        gc.collect()
        assert held() is None
        assert again.numpy().nbytes == 15 * dtype.itemsize


def test_consumer_without_a_version_gets_a_copy_of_read_only_memory() -> None:
    tensor = Tensor(bytes(range(16)), "bfloat16", (2, 4))
    copied = Tensor.from_array(Older(tensor))
    assert copied.dtype == "bfloat16"
    assert copied.tobytes() == tensor.tobytes()
    assert not np.shares_memory(copied.numpy(), tensor.numpy())
    with pytest.raises(BufferError, match="read-only memory"):
        tensor.__dlpack__(copy=False)


def test_capsule_is_a_copy_if_asked_for() -> None:
    tensor = Tensor(bytearray(16), "float32")
    assert not np.shares_memory(np.from_dlpack(tensor, copy=True), tensor.numpy())
    assert np.shares_memory(np.from_dlpack(tensor, copy=False), tensor.numpy())


def test_capsule_for_another_device_is_refused() -> None:
    with pytest.raises((BufferError, ValueError)):
        Tensor(bytes(16)).__dlpack__(max_version=(1, 0), dl_device=(2, 0))


@pytest.mark.parametrize("device_type", [2, 4, 7, 8, 10, 13, 14])
def test_array_on_a_device_is_told_to_be_copied_first(device_type: int) -> None:
    text = rf"Device is on a device \(type {device_type}\): send its .cpu\(\)"
    with pytest.raises(TypeError, match=text):
        Tensor.from_array(Device(device_type))


@pytest.mark.parametrize("value", [None, 7, b"12", [1, 2], np.float32(1), "x"])
def test_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="is no array"):
        Tensor.from_array(value)


def test_exporter_that_gives_no_capsule_is_refused() -> None:
    class Liar(Device):
        def __dlpack__(self, **_options: object) -> object:
            return object()

    with pytest.raises(TypeError, match="gave no capsule"):
        Tensor.from_array(Liar(1))


def test_torch_takes_and_gives_every_type_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for name in ("float32", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool"):
        array = array_of(name, (8, 16))
        tensor = Tensor.from_array(array)
        theirs = torch.from_dlpack(tensor)
        assert str(theirs.dtype) == f"torch.{name}"
        assert theirs.data_ptr() == tensor.numpy().ctypes.data
        ours = Tensor.from_array(theirs.T)
        assert bits_of(ours.numpy()) == bits_of(array.T)
    with pytest.raises(TypeError, match="require gradient"):
        Tensor.from_array(torch.zeros(3, requires_grad=True))
    with pytest.raises(TypeError, match="meta"):
        Tensor.from_array(torch.zeros(3, device="meta"))


def test_jax_takes_and_gives_its_types() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    for name in ("float32", "bfloat16", "int8", "bool"):
        array = array_of(name, (8, 16))
        tensor = Tensor(array.tobytes(), name, (8, 16))
        theirs = jax.dlpack.from_dlpack(tensor)
        assert str(theirs.dtype) == name
        ours = Tensor.from_array(theirs)
        assert bits_of(ours.numpy()) == bits_of(array)


def test_type_of_ml_dtypes_that_is_no_number_of_bytes_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        Tensor.from_array(np.zeros(4, ml_dtypes.int4))
