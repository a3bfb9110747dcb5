"""Arrays of every element type, shape and layout, for hypothesis."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from busduct.tensors import DTYPES


def backwards(array: Any) -> Any:
    """Return a view with each dimension reversed: negative strides."""
    return array[(*(slice(None, None, -1) for _ in array.shape), ...)]


LIBRARY_TYPES: dict[str, Any] = {
    name: np.dtype(name if dtype.is_native else getattr(ml_dtypes, name))
    for name, dtype in DTYPES.items()
}
# Each keeps the shape and what the elements are.
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda array: array,
    "Fortran": np.asfortranarray,
    "reversed": lambda array: backwards(backwards(array).copy()),
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(
        array.shape
    ),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": lambda array: np.frombuffer(
        b"x" + array.tobytes(), array.dtype, offset=1
    ).reshape(array.shape),
}
SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Draw an array of any bits."""
    name = draw(st.sampled_from(sorted(DTYPES)))
    array = array_of(name, draw(SHAPES), draw(st.integers(0, 2**32 - 1)))
    layouts = set(LAYOUTS) - ({"strided"} if array.ndim == 0 else set())
    if not DTYPES[name].is_native:
        layouts -= {"big-endian"}
    return LAYOUTS[draw(st.sampled_from(sorted(layouts)))](array)


def array_of(name: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Make an array of random bits."""
    carrier = np.dtype(DTYPES[name].carrier)
    size = int(np.prod(shape))
    generator = np.random.default_rng(seed)
    if name == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    bits = np.frombuffer(generator.bytes(size * carrier.itemsize), carrier)
    return bits.reshape(shape).view(LIBRARY_TYPES[name])


def bits_of(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return what two equal arrays have in common, NaNs and signs included."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.dtype.name, array.shape, little.tobytes()
