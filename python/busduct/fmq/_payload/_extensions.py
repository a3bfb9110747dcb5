"""Say within msgpack what lies beside it: docs/wire.md, "Payloads of queues"."""

import struct
from typing import Any

import msgspec

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.tensors._header import Header, parse_header

__all__ = [
    "ARRAY_CODE",
    "BYTES_CODE",
    "encode_array",
    "encode_bytes",
    "parse_array",
    "parse_bytes",
]

ARRAY_CODE, BYTES_CODE = 1, 2

# Number of the part, from 1, and its bytes.
_BYTES = struct.Struct("<IQ")
_encoder = msgspec.msgpack.Encoder()


def encode_array(header: list[Any], library: str) -> msgspec.msgpack.Ext:
    """Return what stands in place of an array.

    Args:
        header: Element type, shape, and the elements or the number of their part.
        library: Whose array it is; empty for a `Tensor`.
    """
    return msgspec.msgpack.Ext(ARRAY_CODE, _encoder.encode([*header, library]))


def encode_bytes(number: int, nbytes: int) -> msgspec.msgpack.Ext:
    """Return what stands in place of bytes that are a part of their own."""
    return msgspec.msgpack.Ext(BYTES_CODE, _BYTES.pack(number, nbytes))


def parse_array(data: memoryview) -> tuple[Header, str]:
    """Return the header of an array, and whose it was.

    Raises:
        ConfigError: It is none, or contradicts itself.
    """
    value = _decoder.decode(data)
    if type(value) is not list or len(value) != 4 or type(value[3]) is not str:
        msg = "an array is [dtype, shape, bytes or number of a part, library]"
        raise ConfigError(msg)
    return parse_header(value[:3]), value[3]


def parse_bytes(data: memoryview) -> tuple[int, int]:
    """Return the number of a part, and its bytes.

    Raises:
        ConfigError: It is of another length.
    """
    if data.nbytes != _BYTES.size:
        msg = f"{data.nbytes} bytes where a part is named by {_BYTES.size}"
        raise ConfigError(msg)
    number, nbytes = _BYTES.unpack(data)
    return number, nbytes


def _refuse(code: int, _data: memoryview) -> None:
    msg = f"extension type {code} within an array"
    raise RemoteProtocolError(msg)


_decoder = msgspec.msgpack.Decoder(ext_hook=_refuse)
