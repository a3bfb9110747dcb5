"""Name the element types that tensors may have: an allow-list, the same everywhere."""

from typing import NamedTuple

from busduct.errors import ConfigError

__all__ = ["DTYPES", "DType", "dtype_named"]

# Type codes of DLPack 1.1: https://dmlc.github.io/dlpack/latest/c_api.html
_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6


class DType(NamedTuple):
    """One element type.

    Attributes:
        name: As numpy, or ml_dtypes, call it.
        itemsize: Bytes of an element, which is also its alignment at most.
        carrier: What numpy alone can hold it as, little-endian: the type itself, or the
            unsigned integer of the same size.
        dlpack_code: DLPack's code of its kind.
        is_native: Whether numpy has it without ml_dtypes.
    """

    name: str
    itemsize: int
    carrier: str
    dlpack_code: int
    is_native: bool


def _native(name: str, carrier: str, code: int) -> DType:
    return DType(name, int(carrier[2:]), carrier, code, is_native=True)


def _extension(name: str, carrier: str, code: int) -> DType:
    return DType(name, int(carrier[2:]), carrier, code, is_native=False)


DTYPES = {
    dtype.name: dtype
    for dtype in (
        _native("bool", "|b1", _BOOL),
        _native("int8", "|i1", _INT),
        _native("int16", "<i2", _INT),
        _native("int32", "<i4", _INT),
        _native("int64", "<i8", _INT),
        _native("uint8", "|u1", _UINT),
        _native("uint16", "<u2", _UINT),
        _native("uint32", "<u4", _UINT),
        _native("uint64", "<u8", _UINT),
        _native("float16", "<f2", _FLOAT),
        _native("float32", "<f4", _FLOAT),
        _native("float64", "<f8", _FLOAT),
        _native("complex64", "<c8", _COMPLEX),
        _native("complex128", "<c16", _COMPLEX),
        _extension("bfloat16", "<u2", _BFLOAT),
        _extension("float8_e3m4", "|u1", 7),
        _extension("float8_e4m3", "|u1", 8),
        _extension("float8_e4m3b11fnuz", "|u1", 9),
        _extension("float8_e4m3fn", "|u1", 10),
        _extension("float8_e4m3fnuz", "|u1", 11),
        _extension("float8_e5m2", "|u1", 12),
        _extension("float8_e5m2fnuz", "|u1", 13),
        _extension("float8_e8m0fnu", "|u1", 14),
    )
}


def dtype_named(name: str) -> DType:
    """Return the type of a name.

    Raises:
        ConfigError: It has none.
    """
    dtype = DTYPES.get(name)
    if dtype is None:
        msg = f"dtype {name[:40]!r} is not one of {', '.join(DTYPES)}"
        raise ConfigError(msg)
    return dtype
