"""Read what the type of a field says of its tensor."""

from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from busduct.errors import ConfigError
from busduct.tensors._dtypes import DTYPES
from busduct.tensors._header import Header
from busduct.tensors._libraries import Maker, make_tensor, maker_of
from busduct.tensors._numpy import as_numpy_dtype, require_numpy

__all__ = ["Field", "check_hint", "field_of"]

Lengths = tuple[frozenset[int] | None, ...]


class Field(NamedTuple):
    """What a field takes.

    Attributes:
        make: Makes its value of memory and a header, and a copy if told so.
        dtypes: Names of the element types it takes; None for any.
        lengths: For each dimension the lengths it takes; None for any, of one or all.
    """

    make: Maker
    dtypes: frozenset[str] | None = None
    lengths: Lengths | None = None

    def check(self, header: Header) -> None:
        """Compare a header with the field.

        Raises:
            ConfigError: It takes another element type, or another shape.
        """
        if self.dtypes is not None and header.dtype.name not in self.dtypes:
            msg = f"dtype {header.dtype.name} where {_any_of(self.dtypes)} is due"
            raise ConfigError(msg)
        if self.lengths is not None and not _fits(header.shape, self.lengths):
            due = ", ".join(map(_any_of, self.lengths))
            msg = f"shape {header.shape} where ({due}) is due"
            raise ConfigError(msg)


def field_of(kind: Any) -> Field | None:
    """Return what a field of a type takes; None if that is no array.

    ``numpy.ndarray[tuple[int, Literal[3]], numpy.dtype[numpy.float32]]`` takes that
    element type, two dimensions, and 3 as the length of the second;
    ``Tensor[tuple[int, Literal[3]], Literal["float32"]]`` the same.

    Raises:
        ConfigError: The type says what cannot be checked, or what nothing fulfils.
    """
    make = maker_of(get_origin(kind) or kind)
    arguments = get_args(kind)
    if make is None or len(arguments) != 2:
        return None if make is None else Field(make)
    named = _named_by_literal if make is make_tensor else _named_by_scalar
    return Field(make, named(arguments[1]), _lengths_of(arguments[0]))


def check_hint(hint: Any) -> None:
    """Check what the type of a field, or of a part of it, says of tensors.

    Raises:
        ConfigError: As of `field_of`.
    """
    if field_of(hint) is None:
        for argument in get_args(hint):
            check_hint(argument)


def _named_by_literal(kind: Any) -> frozenset[str] | None:
    """Read ``Literal["float16", "bfloat16"]``."""
    if get_origin(kind) is not Literal:
        return None
    names = frozenset(get_args(kind))
    if not names <= DTYPES.keys():
        msg = f"{kind} names a dtype that is not one of {', '.join(DTYPES)}"
        raise ConfigError(msg)
    return names


def _named_by_scalar(kind: Any) -> frozenset[str] | None:
    """Read ``numpy.dtype[numpy.float32]``, also of an abstract type or of a union."""
    (scalar,) = get_args(kind) or (Any,)
    is_union = get_origin(scalar) in (UnionType, Union)
    names: set[str] = set()
    for one in get_args(scalar) if is_union else (scalar,):
        found = _names_under(get_origin(one) or one)
        if found is None:
            return None
        names |= found
    if not names:
        msg = f"{kind} is not one of {', '.join(DTYPES)}"
        raise ConfigError(msg)
    return frozenset(names)


def _names_under(scalar: Any) -> set[str] | None:
    """Return the names of the types of a class of scalars; None for all there are."""
    np = require_numpy()
    # NB: `Any` is a class from Python 3.11 on.
    if not isinstance(scalar, type) or scalar in (Any, np.generic):
        return None
    natives = [dtype for dtype in DTYPES.values() if dtype.is_native]
    under = {d.name for d in natives if issubclass(as_numpy_dtype(d).type, scalar)}
    return under or {np.dtype(scalar).name} & DTYPES.keys()


def _lengths_of(kind: Any) -> Lengths | None:
    """Read ``tuple[int, Literal[3]]``."""
    arguments = get_args(kind)
    if get_origin(kind) is not tuple or Ellipsis in arguments:
        return None
    return tuple(_length_of(argument) for argument in arguments)


def _length_of(kind: Any) -> frozenset[int] | None:
    if kind in (int, Any) or isinstance(kind, TypeVar):
        return None
    lengths = get_args(kind) if get_origin(kind) is Literal else ()
    if not lengths or not all(type(length) is int for length in lengths):
        msg = f"the length of a dimension is int or a Literal, not {kind}"
        raise ConfigError(msg)
    return frozenset(lengths)


def _fits(shape: tuple[int, ...], lengths: Lengths) -> bool:
    return len(shape) == len(lengths) and all(
        due is None or length in due for length, due in zip(shape, lengths, strict=True)
    )


def _any_of(allowed: frozenset[Any] | None) -> str:
    return "any" if allowed is None else " or ".join(map(str, sorted(allowed)))
