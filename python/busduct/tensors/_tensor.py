"""Hold an array without a library for it: element type, shape and memory."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self

from busduct.tensors._dtypes import DType, dtype_named
from busduct.tensors._header import Header, num_bytes, require_nbytes
from busduct.tensors._numpy import as_numpy_dtype, elements_of, require_numpy

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import TypeVar

    ShapeT = TypeVar("ShapeT", bound=tuple[int, ...], default=Any)
    DTypeT = TypeVar("DTypeT", bound=str, default=Any)
else:
    from typing import TypeVar

    ShapeT = TypeVar("ShapeT")
    DTypeT = TypeVar("DTypeT")

__all__ = ["Tensor", "as_elements", "carried"]

# Of DLPack: kDLCPU, the first and only.
CPU_DEVICE = (1, 0)


class Tensor(Generic[ShapeT, DTypeT]):
    """A C-contiguous, little-endian array over memory of anybody's.

    It needs no library until `numpy`, `__array__` or `__dlpack__` is called, which give
    views: `torch.from_dlpack(tensor)` takes it as it is. They keep the memory alive,
    and are read-only where it is.

    NB: torch has no read-only tensors, and what is received through shared memory
    cannot be written: the process that writes there ends by SIGSEGV.

    As the type of a field it may say more, which is checked when it is received:
    ``Tensor[tuple[int, Literal[768]], Literal["float16", "bfloat16"]]``.

    Args:
        storage: What holds the elements: bytes, a loan, a lease, or any other object
            with a buffer of contiguous bytes. It is held, and not copied.
        dtype: A name of `busduct.tensors.DTYPES`.
        shape: None for one dimension.

    Raises:
        ConfigError: An unknown type, or a storage of another size than the shape's.
    """

    __slots__ = ("__weakref__", "_dtype", "_nbytes", "_shape", "_storage")

    def __init__(
        self, storage: Any, dtype: str = "uint8", shape: Sequence[int] | None = None
    ) -> None:
        self._dtype = dtype_named(dtype)
        nbytes = _nbytes_of(storage)
        if shape is None:
            shape = (nbytes // self._dtype.itemsize,)
        self._shape = tuple(shape)
        self._nbytes = num_bytes(self._dtype, self._shape)
        require_nbytes(nbytes, self._nbytes)
        self._storage = storage

    @classmethod
    def lend(cls, loan: Callable[[int], Any], dtype: str, shape: Sequence[int]) -> Self:
        """Make one to be filled in place and sent without a copy.

        What it holds at first is undefined. ``tensor.numpy()[...] = values`` fills it;
        when it is sent, no array over it may be left.

        Args:
            loan: Lends memory of so many bytes, such as `Socket.loan`.
            dtype: A name of `busduct.tensors.DTYPES`.
            shape: The length of each dimension.

        Raises:
            ConfigError: An unknown type, or no shape.
        """
        return cls(loan(num_bytes(dtype_named(dtype), shape)), dtype, shape)

    @classmethod
    def from_array(cls, array: Any) -> Self:
        """Make one of a numpy array, or of any object with `__dlpack__`.

        It is a view of what is C-contiguous and little-endian, and else a copy.

        Raises:
            ImportError: numpy is not installed.
            TypeError: No array, one on a device, or of a type that is not in `DTYPES`.
        """
        elements, dtype = as_elements(array)
        np = require_numpy()
        flat = np.ascontiguousarray(elements, dtype.carrier).reshape(-1)
        return cls(memoryview(flat.view(np.uint8)), dtype.name, elements.shape)

    @classmethod
    def _of_header(cls, storage: Any, header: Header) -> Self:
        """Make one of what was checked."""
        tensor = cls.__new__(cls)
        tensor._dtype, tensor._shape = header.dtype, header.shape
        tensor._nbytes, tensor._storage = header.nbytes, storage
        return tensor

    @property
    def dtype(self) -> str:
        """The name of the element type."""
        return self._dtype.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension; () of a single value."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._nbytes

    @property
    def storage(self) -> Any:
        """What holds the elements."""
        return self._storage

    def tobytes(self) -> bytes:
        """Copy the elements, in C order and little-endian; raises as `numpy`."""
        require_nbytes(_nbytes_of(self._storage), self._nbytes)
        return bytes(memoryview(self._storage))

    def numpy(self) -> "np.ndarray[Any, Any]":
        """Return an array over the same memory.

        It is a copy where the memory is not aligned for the type.

        Raises:
            ClosedError: The storage is a loan that was sent, or was released.
            ImportError: numpy is not installed, or ml_dtypes for a type of its own.
        """
        return self._carried().view(as_numpy_dtype(self._dtype))

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> "np.ndarray[Any, Any]":
        """Let `numpy.asarray` take it."""
        array: np.ndarray[Any, Any]
        array = require_numpy().array(self.numpy(), dtype=dtype, copy=copy)
        return array

    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """Let `from_dlpack` of any library take it; needs numpy, and no ml_dtypes.

        Read-only memory is copied for who asks by no version, or by one before 1.

        Raises:
            BufferError: A copy is needed, and was refused.
            ImportError: numpy is not installed.
        """
        # It takes ctypes, which few need.
        from busduct.tensors._dlpack import export_array

        return export_array(
            self._carried(),
            self._dtype,
            max_version,
            copy,
            stream=stream,
            dl_device=dl_device,
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU_DEVICE

    def __repr__(self) -> str:
        return f"Tensor(dtype={self.dtype!r}, shape={self._shape})"

    def _carried(self) -> "np.ndarray[Any, Any]":
        """Return an array of what numpy alone can hold the elements as."""
        # A loan that was given up says so here.
        require_nbytes(_nbytes_of(self._storage), self._nbytes)
        return carried(self._storage, self._dtype, self._shape)


def _nbytes_of(storage: Any) -> int:
    nbytes: int = storage.nbytes if hasattr(storage, "nbytes") else len(storage)
    return nbytes


def carried(
    storage: Any, dtype: DType, shape: tuple[int, ...]
) -> "np.ndarray[Any, Any]":
    """Return an array of a type's carrier over a buffer, or of a copy to align it."""
    # NB: of the ways to make an array over a buffer, only this holds on to its export.
    array: np.ndarray[Any, Any] = require_numpy().frombuffer(storage, dtype.carrier)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array.reshape(shape)


def as_elements(value: Any) -> "tuple[np.ndarray[Any, Any], DType]":
    """Return an array over the memory of what a library calls an array.

    Raises:
        ImportError: numpy is not installed.
        TypeError: No array, one on a device, or of a type that is not in `DTYPES`.
    """
    if isinstance(value, require_numpy().ndarray):
        return elements_of(value)
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        # It takes ctypes, which few need.
        from busduct.tensors._dlpack import import_array

        return import_array(value)
    msg = f"{type(value).__name__} is no array"
    raise TypeError(msg)
