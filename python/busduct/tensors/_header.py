"""Describe a tensor within a message, and check what a peer says of one.

A header is what stands in place of the tensor: docs/wire.md, "Tensors". No memory is
taken, and nothing of numpy is called, before everything in it has been checked.
"""

from collections.abc import Sequence
from typing import NamedTuple

from busduct.errors import ConfigError
from busduct.tensors._dtypes import DType, dtype_named

__all__ = [
    "MAX_DIMENSIONS",
    "Header",
    "num_bytes",
    "parse_header",
    "require_nbytes",
]

MAX_DIMENSIONS = 32
# What fits the sizes of C on every machine of ours.
MAX_BYTES = 2**63 - 1


class Header(NamedTuple):
    """A header that was checked.

    Attributes:
        dtype: Type of the elements.
        shape: Length of each dimension.
        nbytes: Bytes of all elements, C-contiguous.
        place: The number of the part that holds them, from 1, or they themselves.
    """

    dtype: DType
    shape: tuple[int, ...]
    nbytes: int
    place: int | bytes


def num_bytes(dtype: DType, shape: Sequence[int]) -> int:
    """Return the bytes of a C-contiguous tensor.

    Raises:
        ConfigError: Not a shape, over 32 dimensions, or over 2**63 - 1 bytes, where
            dimensions of length 0 count as 1.
    """
    if len(shape) > MAX_DIMENSIONS:
        msg = f"{len(shape)} dimensions exceed limit of {MAX_DIMENSIONS}"
        raise ConfigError(msg)
    nbytes = dtype.itemsize
    for length in shape:
        # NB: bool is an int too, and msgpack tells them apart.
        if type(length) is not int or length < 0:
            msg = "a shape is of integers from 0"
            raise ConfigError(msg)
        nbytes *= length or 1
        if nbytes > MAX_BYTES:
            msg = f"shape exceeds limit of {MAX_BYTES} bytes"
            raise ConfigError(msg)
    return 0 if 0 in shape else nbytes


def parse_header(value: object) -> Header:
    """Check what stands in place of a tensor, as msgpack gave it.

    Raises:
        ConfigError: It is no header, or contradicts itself.
    """
    if type(value) is not list or len(value) != 3:
        msg = "a tensor is [dtype, shape, bytes or number of a part]"
        raise ConfigError(msg)
    name, shape, place = value
    if type(name) is not str or type(shape) is not list:
        msg = "a tensor is of a dtype's name and a list of lengths"
        raise ConfigError(msg)
    dtype = dtype_named(name)
    nbytes = num_bytes(dtype, shape)
    if type(place) is bytes:
        require_nbytes(len(place), nbytes)
    elif type(place) is not int:
        msg = "neither bytes nor the number of a part"
        raise ConfigError(msg)
    return Header(dtype, tuple(shape), nbytes, place)


def require_nbytes(nbytes: int, due: int) -> None:
    """Check the size of what holds the elements.

    Raises:
        ConfigError: It is another than the shape's.
    """
    if nbytes != due:
        msg = f"{nbytes} bytes where the shape has {due}"
        raise ConfigError(msg)
