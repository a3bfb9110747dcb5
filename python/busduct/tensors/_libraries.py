"""Make arrays of the libraries that there are, over memory that was checked."""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from busduct.errors import ConfigError
from busduct.tensors._header import Header
from busduct.tensors._numpy import as_numpy_dtype
from busduct.tensors._tensor import Tensor, carried

__all__ = ["Maker", "library_of", "make_array", "make_tensor", "maker_of"]

# Of memory, a header, and whether to copy.
Maker: TypeAlias = Callable[[Any, Header, bool], Any]


def maker_of(kind: Any) -> Maker | None:
    """Return what makes arrays of a class; None if it is no class of arrays.

    Chosen by name: a library that was not imported made no type of ours.
    """
    if kind is Tensor:
        return make_tensor
    root = getattr(kind, "__module__", "").partition(".")[0]
    # NB: JAX puts the module into the name, too.
    name = getattr(kind, "__name__", "").rpartition(".")[2]
    return _MAKERS.get((root, name))


def library_of(value: Any) -> str:
    """Name the library of an array: "numpy", "torch", "jax", or "" for all others."""
    root = type(value).__module__.partition(".")[0]
    return _LIBRARIES.get(root, "")


def make_array(library: str, storage: Any, header: Header, copy: bool) -> Any:
    """Return an array of a library, or a `Tensor` where it cannot be of that one.

    torch and JAX are not imported for it: it takes seconds, and memory of a device.

    Args:
        library: As `library_of` names it.
        storage: What holds the elements.
        header: What describes them.
        copy: Give it memory of its own, which can be written.

    Raises:
        ConfigError: No library of that name.
    """
    make = _BY_LIBRARY.get(library)
    if make is None:
        msg = f"library {library[:40]!r} is not one of numpy, torch, jax"
        raise ConfigError(msg)
    if library in ("torch", "jax") and library not in sys.modules:
        make = make_tensor
    try:
        array = make(storage, header, copy)
    except (ImportError, BufferError, RuntimeError):
        # numpy or ml_dtypes is missing, or the library does not know the type.
        return make_tensor(storage, header, copy)
    if library == "jax" and str(array.dtype) != header.dtype.name:
        # JAX makes 32 bits of 64 unless it is told otherwise.
        return make_tensor(storage, header, copy)
    return array


def make_tensor(storage: Any, header: Header, copy: bool) -> Any:
    """Return a `Tensor`."""
    return Tensor._of_header(_own(storage) if copy else storage, header)


def _make_numpy(storage: Any, header: Header, copy: bool) -> Any:
    array = carried(storage, header.dtype, header.shape)
    if copy:
        array = array.copy()
    if header.dtype.is_native:
        return array
    return array.view(as_numpy_dtype(header.dtype))


def _make_torch(storage: Any, header: Header, copy: bool) -> Any:
    return sys.modules["torch"].from_dlpack(make_tensor(storage, header, copy))


def _make_jax(storage: Any, header: Header, copy: bool) -> Any:
    jax = sys.modules["jax"]
    # JAX takes read-only memory by DLPack only as a copy, but numpy's as it is: what is
    # immutable either way.
    array = _make_numpy(storage, header, copy)
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=True)


def _own(storage: Any) -> bytearray:
    return bytearray(memoryview(storage))


_MAKERS: dict[tuple[str, str], Maker] = {
    ("numpy", "ndarray"): _make_numpy,
    ("torch", "Tensor"): _make_torch,
    ("jax", "Array"): _make_jax,
}
_BY_LIBRARY: dict[str, Maker] = {
    "": make_tensor,
    "numpy": _make_numpy,
    "torch": _make_torch,
    "jax": _make_jax,
}
# Of the modules of classes of arrays; those of JAX are in its other half.
_LIBRARIES = {"numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jax"}
