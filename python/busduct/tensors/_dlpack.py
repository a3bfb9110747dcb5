"""Exchange arrays by DLPack, also of the element types that numpy does not know.

numpy makes and reads the capsules. Where it does not know the type, it is shown the
unsigned integer of the same size, and the type's code within the capsule, which nobody
else holds at that moment, is written by us.

The layout is that of https://dmlc.github.io/dlpack/latest/c_api.html.
"""

import ctypes
from typing import TYPE_CHECKING, Any, cast

from busduct.tensors._dtypes import DTYPES, DType
from busduct.tensors._numpy import require_numpy

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_array", "import_array"]

# kDLCPU, kDLCUDAHost and kDLROCMHost: memory that the CPU reads as its own.
_READABLE_DEVICES = frozenset((1, 3, 11))
_UINT = 1
_VERSIONED, _UNVERSIONED = b"dltensor_versioned", b"dltensor"
_KINDS = {(d.dlpack_code, 8 * d.itemsize): d for d in DTYPES.values()}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    )


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


# NB: prototypes of our own, for those of `pythonapi` are everybody's to set.
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


class _Exporter:
    """Hand a capsule to `numpy.from_dlpack`."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_options: object) -> object:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def import_array(value: Any) -> "tuple[np.ndarray[Any, Any], DType]":
    """Return an array over the memory of any object with `__dlpack__`.

    Raises:
        TypeError: It is in memory that the CPU does not read, of a type that a message
            does not hold, or not to be exported, such as with a gradient.
        ImportError: numpy is not installed.
    """
    np = require_numpy()
    name = type(value).__name__
    try:
        device_type = int(value.__dlpack_device__()[0])
        if device_type not in _READABLE_DEVICES:
            msg = f"{name} is on a device (type {device_type}): send its .cpu()"
            raise TypeError(msg)
        capsule = _capsule_of(value)
        dtype = _show_as_carrier(capsule)
        return np.from_dlpack(_Exporter(capsule)), dtype
    except (BufferError, RuntimeError, ValueError) as error:
        msg = f"{name} cannot be sent: {error}"
        raise TypeError(msg) from error


def export_array(
    array: "np.ndarray[Any, Any]",
    dtype: DType,
    max_version: tuple[int, int] | None,
    copy: bool | None,
    **options: Any,
) -> object:
    """Return a capsule of an array of the type's carrier, which it keeps alive.

    What is read-only is copied for who takes no version 1, which cannot be told.

    Raises:
        BufferError: A copy is needed and was refused.
    """
    is_told = max_version is not None and max_version[0] >= 1
    if not array.flags.writeable and not is_told:
        if copy is False:
            msg = "read-only memory is exported from version 1 of DLPack on"
            raise BufferError(msg)
        array = array.copy()
    capsule: object = array.__dlpack__(max_version=max_version, copy=copy, **options)
    if not dtype.is_native:
        _tensor_of(capsule).code = dtype.dlpack_code
    return capsule


def _capsule_of(value: Any) -> object:
    try:
        return value.__dlpack__(max_version=(1, 0))
    except TypeError:
        # It is older than the argument.
        return value.__dlpack__()


def _tensor_of(capsule: object) -> _Tensor:
    """Return the description within a capsule that nobody has taken.

    Raises:
        BufferError: Somebody has, or it is no capsule of DLPack.
    """
    if _is_valid(capsule, _VERSIONED):
        managed = _Versioned.from_address(_get_pointer(capsule, _VERSIONED) or 0)
        return cast(_Tensor, managed.tensor)
    if _is_valid(capsule, _UNVERSIONED):
        return _Tensor.from_address(_get_pointer(capsule, _UNVERSIONED) or 0)
    msg = "__dlpack__ gave no capsule"
    raise BufferError(msg)


def _show_as_carrier(capsule: object) -> DType:
    """Return the element type of a capsule, and let numpy see its carrier there.

    Raises:
        TypeError: A type that a message does not hold.
    """
    tensor = _tensor_of(capsule)
    dtype = _KINDS.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        kind = f"{tensor.code} of {tensor.bits} bits times {tensor.lanes}"
        msg = f"elements of DLPack's type {kind} cannot be sent"
        raise TypeError(msg)
    if not dtype.is_native:
        tensor.code = _UINT
    return dtype
