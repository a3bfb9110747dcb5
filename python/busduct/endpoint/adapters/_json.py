"""JSON as adapters share it: encoding requests, decoding what an endpoint sent."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from busduct.errors import RemoteProtocolError, RequestError
from busduct.messages import ErrorData

__all__ = [
    "MAX_MESSAGE_CHARACTERS",
    "NO_ERROR",
    "Count",
    "Usage",
    "as_body",
    "decode",
    "decode_event",
    "endpoint_error",
    "http_status",
    "is_done",
    "missing",
    "reports_error",
]

T = TypeVar("T")

# NB: what is decoded goes on to the caller as msgpack, whose integers have 64 bits and
# whose decoder bounds nesting: no type here may hold more than that.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Flat: TypeAlias = _Number | float | str | bool | None
# Servers add to `usage` what they like, in objects and lists of them.
Usage: TypeAlias = dict[str, _Flat | dict[str, _Flat] | list[dict[str, _Flat]]]

# The value of `error` where there is none; told by identity.
NO_ERROR = msgspec.Raw(b"null")

# Of an error's message; the rest is cut off.
MAX_MESSAGE_CHARACTERS = 1000

_encode = msgspec.json.Encoder().encode


class _ErrorObject(msgspec.Struct, frozen=True, gc=False):
    """The inside of ``{"error": {...}}``, or the whole of an older server's error."""

    message: str
    type: str | int | None = None
    code: int | float | str | None = None
    object: str | None = None


_decode_error_object = msgspec.json.Decoder(_ErrorObject).decode
_decode_text = msgspec.json.Decoder(str).decode


def as_body(request: dict[str, Any]) -> bytes:
    """Encode a request.

    Raises:
        RequestError: A value that JSON cannot hold.
    """
    try:
        return _encode(request)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        msg = f"query cannot be encoded as JSON: {error}"
        raise RequestError(msg, code="not_json") from error


def missing(*names: str) -> RequestError:
    """Return the error of a query that has none of the keys."""
    msg = f"query has no {' and no '.join(names)}"
    return RequestError(msg, code="missing_prompt", param=names[0])


def decode(decoder: Callable[[bytes], T], data: bytes, what: str) -> T:
    """Decode what an endpoint sent.

    Args:
        decoder: Of a `msgspec.json.Decoder`.
        data: JSON.
        what: Its name in the error.

    Raises:
        RemoteProtocolError: It is not JSON, not of the decoder's type, or not UTF-8.
    """
    try:
        return decoder(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # NB: msgspec lets the last two through, for strings that are not UTF-8 and for
        # nesting without end.
        raise RemoteProtocolError(f"{what} is malformed: {error}") from error


def decode_event(decoder: Callable[[bytes], T], data: bytes) -> T | None:
    """Decode the data of an event; None for ``[DONE]``.

    Raises:
        RemoteProtocolError: It is neither.
    """
    try:
        return decode(decoder, data, "event")
    except RemoteProtocolError:
        if is_done(data):
            return None
        raise


def is_done(data: bytes) -> bool:
    """Tell whether the data of an event is ``[DONE]``."""
    return data[:6] == b"[DONE]"


def reports_error(data: bytes) -> bool:
    """Tell an error without an ``error`` key, ``{"object": "error", ...}``."""
    try:
        return _decode_error_object(data).object == "error"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def endpoint_error(raw: msgspec.Raw) -> ErrorData | None:
    """Return the error that an endpoint reports within a response of status 200.

    Args:
        raw: The JSON value of ``error``: an object, a text, or anything.

    Returns:
        An error of type ``endpoint`` with what the endpoint calls it in the message,
        and as status the code in it if that is one of HTTP; None for ``null``.
    """
    data = bytes(raw)
    if data == b"null":
        return None
    status = None
    try:
        found = _decode_error_object(data)
        message = f"{found.type}: {found.message}" if found.type else found.message
        status = http_status(found.code)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = _text_of(data)
    message = message[:MAX_MESSAGE_CHARACTERS]
    return ErrorData(error_type="endpoint", error_message=message, status=status)


def http_status(code: float | str | None) -> int | None:
    """Return the code of an error if it is a status of HTTP that says so."""
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _text_of(data: bytes) -> str:
    try:
        return _decode_text(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data[: 4 * MAX_MESSAGE_CHARACTERS].decode(errors="replace")
