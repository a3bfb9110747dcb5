"""Views of memory as numpy arrays, with the types of ml_dtypes too."""

from collections.abc import Sequence
from typing import Any, Final

__all__ = ["CPU", "as_array", "to_dlpack"]

# As DLPack numbers devices.
CPU: Final = (1, 0)

# What the types of ml_dtypes are called, as far as numpy has none of that name.
_OF_ML_DTYPES: Final = (
    "bfloat16",
    "float4_",
    "float6_",
    "float8_",
    "int2",
    "int4",
    "uint2",
    "uint4",
)


def as_array(buffer: Any, dtype: str | Any, shape: Sequence[int] | None) -> Any:
    """Return an array over a buffer, which is a view; writable if the buffer is.

    Args:
        buffer: Has the buffer protocol.
        dtype: What numpy takes, or the name of a type of ml_dtypes; None for bytes.
        shape: None for one dimension.

    Raises:
        ImportError: numpy is not installed, or ml_dtypes for a type of its own.
        TypeError: Not a dtype.
        ValueError: Another size than the buffer's, or a dtype of Python objects.
    """
    array = _import_numpy().frombuffer(buffer, _to_dtype(dtype))
    return array if shape is None else array.reshape(shape)


def to_dlpack(
    buffer: Any,
    stream: object | None,
    max_version: tuple[int, int] | None,
    dl_device: tuple[int, int] | None,
    copy: bool | None,
) -> object:
    """Return the DLPack capsule of a buffer's bytes, by way of numpy.

    Args:
        buffer: Has the buffer protocol.
        stream: None, of memory of the CPU.
        max_version: What the consumer understands.
        dl_device: None or the CPU.
        copy: Whether to copy; None for only if it must.

    Raises:
        BufferError: It cannot be given so.
        ImportError: numpy is not installed.
    """
    if stream is not None:
        msg = "memory of the CPU has no stream"
        raise BufferError(msg)
    if dl_device not in {None, CPU}:
        msg = f"it is memory of the CPU, device {CPU}"
        raise BufferError(msg)
    is_versioned = max_version is not None and max_version[0] >= 1
    if memoryview(buffer).readonly and not copy and not is_versioned:
        msg = "it is read-only, which DLPack can tell from version 1.0"
        raise BufferError(msg)
    array = _import_numpy().frombuffer(buffer, "uint8")
    return array.__dlpack__(max_version=max_version, copy=copy)


def _import_numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        msg = "arrays need numpy; install busduct[model], or numpy alone"
        raise ImportError(msg) from error
    return np


def _to_dtype(dtype: str | Any) -> Any:
    if dtype is None:
        # NB: numpy would make float64 of it.
        return "uint8"
    if not isinstance(dtype, str) or not dtype.startswith(_OF_ML_DTYPES):
        return dtype
    try:
        import ml_dtypes
    except ImportError as error:
        msg = f"dtype {dtype} needs ml_dtypes, which is not installed"
        raise ImportError(msg) from error
    try:
        return getattr(ml_dtypes, dtype)
    except AttributeError as error:
        msg = f"ml_dtypes has no type {dtype!r}"
        raise TypeError(msg) from error
