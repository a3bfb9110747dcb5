"""Loans and leases as arrays: by numpy, and by DLPack for whoever speaks that."""

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.transport.joined import WAYS, filled, joined

VALUES = np.arange(600, dtype=np.float32)


class Tensor:
    """An array of another library: asks as it would, and notes what it was given."""

    def __init__(self, lent: Any, **asked: Any) -> None:
        self.device = lent.__dlpack_device__()
        self.capsule = lent.__dlpack__(**asked)

    def name(self) -> str:
        return repr(self.capsule).split('"')[1]


@pytest.fixture
def ends(backend: ModuleType, ipc_dir: Path) -> Iterator[tuple[Any, Any]]:
    with joined(backend, "inproc", ipc_dir) as pair:
        yield pair


def leased(ends: tuple[Any, Any]) -> Any:
    """Return a lease of `VALUES`."""
    tx, rx = ends
    tx.send_blocking(VALUES)
    return rx.recv_lease_blocking(timeout=20)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("num_items", [0, 600, 600_000])
def test_array_arrives_as_an_array(
    backend: ModuleType, way: str, ipc_dir: Path, num_items: int
) -> None:
    values = np.arange(num_items, dtype=np.float32)
    with joined(backend, way, ipc_dir) as (tx, rx):
        loan = tx.loan(values.nbytes)
        loan.as_numpy("float32")[:] = values
        tx.send_blocking(loan)
        came = rx.recv_lease_blocking(timeout=20).as_numpy(np.float32, (num_items, 1))
        assert came.shape == (num_items, 1)
        assert (came[:, 0] == values).all()
        assert not came.flags.writeable
        assert not came.flags.owndata


def test_array_of_bytes_is_what_is_given_unasked(ends: tuple[Any, Any]) -> None:
    loan = ends[0].loan(24)
    array = loan.as_numpy()
    assert (array.dtype, array.shape, array.flags.writeable) == (np.uint8, (24,), True)
    array[:] = range(24)
    assert memoryview(loan).tobytes() == bytes(range(24))
    assert loan.as_numpy(None).dtype == np.uint8
    assert loan.as_numpy("<u4", [2, 3])[1, 2] == 0x17161514


def test_array_is_a_view_that_holds_what_it_views(ends: tuple[Any, Any]) -> None:
    loan = ends[0].loan(24)
    array = loan.as_numpy()
    array[:] = range(24)
    with pytest.raises(BufferError):
        ends[0].send_nowait(loan)
    del array
    ends[0].send_nowait(loan)
    part = ends[1].recv_lease_blocking(timeout=20).as_numpy()[3:6]
    gc.collect()
    assert part.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("dtype", "shape", "error"),
    [
        ("float64", (3,), ValueError),
        ("float64", (100, 100), ValueError),
        ([("a", "u1"), ("b", "u8")], None, ValueError),
        ("object", None, ValueError),
        ([("a", "O")], None, ValueError),
        ("no type", None, TypeError),
        ("float8_of_no_kind", None, TypeError),
        ("uint8", "text", TypeError),
    ],
)
def test_array_that_cannot_be_is_refused(
    ends: tuple[Any, Any], dtype: Any, shape: Any, error: type[Exception]
) -> None:
    for lent in (ends[0].loan(2400), leased(ends)):
        with pytest.raises(error):
            lent.as_numpy(dtype, shape)
        lent.release()


@pytest.mark.parametrize(
    "name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "int4"]
)
def test_types_of_ml_dtypes_are_known_by_name(ends: tuple[Any, Any], name: str) -> None:
    tx, rx = ends
    loan = tx.loan(8)
    array = loan.as_numpy(name)
    array[:] = 1.5 if name != "int4" else 3
    itemsize = array.itemsize
    kept = array.astype(np.float32).tolist()
    del array
    tx.send_nowait(loan)
    came = rx.recv_lease_blocking(timeout=20).as_numpy(name, (8 // itemsize,))
    assert came.dtype.name == name
    assert came.astype(np.float32).tolist() == kept
    assert not came.flags.writeable


@pytest.mark.parametrize(
    ("missing", "dtype"), [("numpy", "uint8"), ("ml_dtypes", "bfloat16")]
)
def test_missing_library_is_an_import_error_that_names_it(
    ends: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, missing: str, dtype: str
) -> None:
    lease = leased(ends)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=missing):
        lease.as_numpy(dtype)
    monkeypatch.undo()


@pytest.mark.parametrize("way", WAYS)
def test_lease_goes_to_others_by_dlpack(
    backend: ModuleType, way: str, ipc_dir: Path
) -> None:
    with joined(backend, way, ipc_dir) as ends:
        lease = leased(ends)
        array = np.from_dlpack(lease)
        assert (array.dtype, array.shape) == (np.uint8, (VALUES.nbytes,))
        assert array.ctypes.data == lease.as_numpy().ctypes.data
        assert not array.flags.writeable
        del lease
        gc.collect()
        assert (array.view(np.float32) == VALUES).all()
    assert (array.view(np.float32) == VALUES).all()


def test_loan_goes_to_others_by_dlpack(ends: tuple[Any, Any]) -> None:
    tx, rx = ends
    loan = tx.loan(24)
    array = np.from_dlpack(loan)
    array[:] = 7
    with pytest.raises(BufferError):
        tx.send_nowait(loan)
    del array
    tx.send_nowait(loan)
    assert rx.recv_blocking(timeout=20) == bytes([7] * 24)
    assert np.from_dlpack(tx.loan(0)).shape == (0,)


@pytest.mark.parametrize("version", [(1, 0), (1, 9), (2, 0)])
def test_consumer_of_dlpack_1_is_told_what_is_read_only(
    ends: tuple[Any, Any], version: tuple[int, int]
) -> None:
    tensor = Tensor(leased(ends), max_version=version)
    assert tensor.name() == "dltensor_versioned"
    assert tensor.device == (1, 0)


@pytest.mark.parametrize("version", [None, (0, 8)])
def test_consumer_of_old_dlpack_gets_what_it_may_write(
    ends: tuple[Any, Any], version: tuple[int, int] | None
) -> None:
    lease = leased(ends)
    with pytest.raises(BufferError):
        lease.__dlpack__(max_version=version)
    assert Tensor(lease, max_version=version, copy=True).name() == "dltensor"
    assert Tensor(ends[0].loan(9), max_version=version).name() == "dltensor"
    lease.release()


def test_copy_is_another_array_that_may_be_written(ends: tuple[Any, Any]) -> None:
    lease = leased(ends)
    copied = np.from_dlpack(lease, copy=True)
    assert copied.tobytes() == VALUES.tobytes()
    assert copied.ctypes.data != lease.as_numpy().ctypes.data
    copied[:] = 0
    assert lease.tobytes() == VALUES.tobytes()
    assert not np.from_dlpack(lease, copy=False).flags.writeable
    lease.release()
    assert copied.sum() == 0


@pytest.mark.parametrize(
    "asked", [{"stream": 1}, {"dl_device": (2, 0)}, {"dl_device": (1, 1)}]
)
def test_what_memory_of_the_cpu_is_not_is_refused(
    ends: tuple[Any, Any], asked: dict[str, Any]
) -> None:
    for lent in (ends[0].loan(9), leased(ends)):
        with pytest.raises(BufferError):
            lent.__dlpack__(max_version=(1, 0), **asked)
        assert Tensor(lent, max_version=(1, 0), dl_device=(1, 0)).device == (1, 0)
        lent.release()


def test_capsule_that_nobody_took_lets_go(ends: tuple[Any, Any]) -> None:
    loan = ends[0].loan(24)
    for version in (None, (1, 0)):
        capsule = loan.__dlpack__(max_version=version)
        with pytest.raises(BufferError):
            loan.release()
        del capsule
    loan.release()


def test_array_is_deleted_by_any_thread(ends: tuple[Any, Any]) -> None:
    loan = ends[0].loan(24)
    arrays = [np.from_dlpack(loan)]
    thread = threading.Thread(target=arrays.clear)
    thread.start()
    thread.join()
    loan.release()


def test_loan_is_aligned_and_moved_and_not_copied(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with joined(rust, "inproc", ipc_dir) as (tx, rx):
        for nbytes in (1, 63, 64, 65, 5000, 1_000_000):
            loan = tx.loan(nbytes)
            filled_at = loan.as_numpy().ctypes.data
            assert filled_at % 64 == 0
            tx.send_nowait(loan)
            lease = rx.recv_lease_blocking(timeout=20)
            assert lease.as_numpy().ctypes.data == filled_at
            tx.send_nowait(lease)
            again = rx.recv_lease_blocking(timeout=20)
            assert again.as_numpy().ctypes.data == filled_at


@pytest.mark.parametrize("nbytes", [100, 10_000])
def test_loan_that_nobody_looked_at_tells_nothing(
    rust: ModuleType, nbytes: int
) -> None:
    with rust.Context() as ctx:
        tx, rx = ctx.socket(rust.PUSH), ctx.socket(rust.PULL)
        tx.connect(rx.bind("inproc://a"))
        # What these leave behind is what later ones are made of.
        secrets = [filled(tx, b"x" * nbytes) for _ in range(100)]
        for loan in secrets:
            loan.release()
        for _ in range(100):
            tx.send_nowait(tx.loan(nbytes))
            assert rx.recv_blocking(timeout=20) == bytes(nbytes)


def test_torch_takes_both(ends: tuple[Any, Any]) -> None:
    torch: Any = pytest.importorskip("torch")
    lease = leased(ends)
    tensor = torch.from_dlpack(lease)
    assert tensor.data_ptr() == lease.as_numpy().ctypes.data
    del lease
    gc.collect()
    assert (tensor.numpy().view(np.float32) == VALUES).all()
    loan = ends[0].loan(256)
    torch.from_dlpack(loan).fill_(9)
    assert memoryview(loan).tobytes() == bytes([9] * 256)


def test_jax_takes_a_loan_and_the_array_of_a_lease(ends: tuple[Any, Any]) -> None:
    jax: Any = pytest.importorskip("jax")
    loan = ends[0].loan(256)
    loan.as_numpy()[:] = 1
    assert int(jax.dlpack.from_dlpack(loan).astype("int32").sum()) == 256
    # It asks as before DLPack 1.0, where nothing can be read-only.
    lease = leased(ends)
    with pytest.raises(BufferError):
        jax.dlpack.from_dlpack(lease)
    array = jax.numpy.asarray(lease.as_numpy("float32"))
    del lease
    gc.collect()
    assert (np.asarray(array) == VALUES).all()
