"""Tell numpy's element types and ours apart; numpy is imported when it is needed."""

from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from busduct.tensors._dtypes import DTYPES, DType

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_numpy_dtype", "dtype_of", "elements_of", "require_numpy"]

_INSTALL = "is not installed: pip install 'busduct[tensors]'"


@cache
def require_numpy() -> Any:
    """Return the module.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        msg = f"arrays need numpy, which {_INSTALL}"
        raise ImportError(msg) from error
    return np


@cache
def as_numpy_dtype(dtype: DType) -> "np.dtype[Any]":
    """Return what numpy calls a type of ours, little-endian.

    Raises:
        ImportError: numpy is not installed, or ml_dtypes for a type of its own.
    """
    numpy = require_numpy()
    if dtype.is_native:
        return cast("np.dtype[Any]", numpy.dtype(dtype.carrier))
    try:
        scalar = getattr(import_module("ml_dtypes"), dtype.name)
    except (ImportError, AttributeError) as error:
        msg = f"an array of {dtype.name} needs ml_dtypes 0.5, which {_INSTALL}"
        raise ImportError(msg) from error
    return cast("np.dtype[Any]", numpy.dtype(scalar))


@lru_cache(maxsize=256)
def dtype_of(found: "np.dtype[Any]") -> DType:
    """Return what we call a type of numpy's, of either byte order.

    Raises:
        TypeError: It is none that a message holds.
    """
    dtype = DTYPES.get(found.name)
    if dtype is None:
        msg = f"an array of dtype {found} cannot be sent; one of {', '.join(DTYPES)}"
        raise TypeError(msg)
    return dtype


def elements_of(array: "np.ndarray[Any, Any]") -> "tuple[np.ndarray[Any, Any], DType]":
    """Return a plain array over the same memory, of what numpy alone knows.

    Raises:
        TypeError: A masked array, or of a type that a message does not hold.
    """
    numpy = require_numpy()
    if type(array) is not numpy.ndarray:
        if isinstance(array, numpy.ma.MaskedArray):
            msg = "a masked array cannot be sent: send its .filled(), and its .mask"
            raise TypeError(msg)
        array = array.view(numpy.ndarray)
    dtype = dtype_of(array.dtype)
    return array if dtype.is_native else array.view(dtype.carrier), dtype
