"""The frames of remote calls as values (docs/wire.md, "RPC")."""

import enum
import struct
from typing import Any, TypeVar

import msgspec

__all__ = [
    "MAX_METHOD_LENGTH",
    "MAX_REQUEST_ID",
    "ErrorBody",
    "Kind",
    "Reply",
    "RequestBody",
    "decode",
    "decode_reply",
    "decode_request",
    "encode",
    "make_decoder",
    "pack_header",
    "unpack_header",
]

T = TypeVar("T")

MAX_METHOD_LENGTH = 255
MAX_REQUEST_ID = 2**64 - 1
_MAX_TEXT = 4096
_HEADER = struct.Struct("!BQ")
_EMPTY_MAP = msgspec.Raw(b"\x80")
_NIL = b"\xc0"


class Kind(enum.IntEnum):
    """What a message is, the first byte of its header."""

    REQUEST = 1
    REPLY = 2
    CANCEL = 3


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which method is called, and its parameters by name, not yet decoded."""

    method: str
    parameters: msgspec.Raw = _EMPTY_MAP


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a call failed, in words that a stranger may read."""

    type: str
    message: str

    @classmethod
    def of(cls, type_: str, message: str) -> "ErrorBody":
        """Make one of text from anywhere: bounded, and valid UTF-8."""
        return cls(_printable(type_), _printable(message))


class Reply(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Exactly one of a result, not yet decoded, and an error."""

    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.result is msgspec.UNSET) is (self.error is msgspec.UNSET):
            msg = "a reply has a result or an error"
            raise ValueError(msg)


def _printable(text: str) -> str:
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()


def _refuse_extension(code: int, data: memoryview) -> Any:
    msg = "extension types are refused"
    raise ValueError(msg)


def make_decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return a strict decoder without extension types.

    Raises:
        TypeError: msgspec does not know the type.
    """
    return msgspec.msgpack.Decoder(type_, ext_hook=_refuse_extension)


_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[RequestBody] = make_decoder(RequestBody)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = make_decoder(Reply)

encode = _encoder.encode


def decode(
    decoder: msgspec.msgpack.Decoder[T], data: bytes | memoryview | msgspec.Raw
) -> T:
    """Decode what a peer sent.

    Raises:
        msgspec.DecodeError: Malformed, or of other types than declared.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        # What msgspec lets through: strings that are not UTF-8, extension types, and
        # deep nesting.
        raise msgspec.DecodeError(str(error)) from error


def decode_request(data: bytes) -> RequestBody:
    """Decode the body of a request.

    Raises:
        msgspec.DecodeError: Not one.
    """
    body = decode(_request_decoder, data)
    if bytes(body.parameters) == _NIL:
        return RequestBody(body.method)
    return body


def decode_reply(data: bytes) -> Reply:
    """Decode the body of a reply.

    Raises:
        msgspec.DecodeError: Not one.
    """
    return decode(_reply_decoder, data)


def pack_header(kind: Kind, request_id: int) -> bytes:
    """Encode the frame that goes before the body."""
    return _HEADER.pack(kind, request_id)


def unpack_header(frame: bytes) -> tuple[Kind, int]:
    """Decode the frame that goes before the body.

    Raises:
        ValueError: Another length, or a kind that there is not.
    """
    if len(frame) != _HEADER.size:
        msg = f"header of {len(frame)} bytes; it has {_HEADER.size}"
        raise ValueError(msg)
    kind, request_id = _HEADER.unpack(frame)
    return Kind(kind), request_id
