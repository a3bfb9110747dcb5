"""What a caller is told of a request that failed."""

import email.utils
import math
import ssl
import time
from collections.abc import Mapping

from busduct.messages import ErrorData

# Of a body that explains an error: more is of no use in a message.
MAX_ERROR_CHARACTERS = 512
# Enough bytes for that many characters of UTF-8.
MAX_ERROR_BYTES = 4 * MAX_ERROR_CHARACTERS


def request_error(error: Exception) -> ErrorData:
    """Tell that a query cannot be put into a request."""
    return ErrorData(error_type="request", error_message=_text_of(error))


def cancelled_error() -> ErrorData:
    """Tell that a query was given up as its caller asked."""
    return ErrorData(error_type="cancelled", error_message="given up by the caller")


def connect_error(error: BaseException, origin: object) -> ErrorData:
    """Tell that there is no connection to an endpoint."""
    message = f"cannot connect to {origin}: {_text_of(error)}"
    return ErrorData(error_type="connection", error_message=_short(message))


def lost_error(error: Exception | None) -> ErrorData:
    """Tell that a connection ended without a byte of the response."""
    how = _text_of(error) if error else "closed by the endpoint"
    message = f"connection lost before any byte of the response: {how}"
    return ErrorData(error_type="connection", error_message=_short(message))


def truncated_error(what: str, status: int | None = None) -> ErrorData:
    """Tell that a response ended before it was whole."""
    return ErrorData(error_type="truncated", error_message=_short(what), status=status)


def malformed_error(what: str, status: int | None = None) -> ErrorData:
    """Tell that what came is not what was agreed on."""
    return ErrorData(error_type="malformed", error_message=_short(what), status=status)


def too_large_error(what: str, limit: int, status: int | None = None) -> ErrorData:
    """Tell that a part of a response is over its limit."""
    message = f"{what} of more than {limit} bytes"
    return ErrorData(error_type="too_large", error_message=message, status=status)


def status_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> ErrorData:
    """Tell that the endpoint answered with an error.

    Args:
        status: Of the response.
        headers: Of the response.
        body: What is there of it; only the beginning is told.
    """
    message = body[:MAX_ERROR_BYTES].decode(errors="replace")
    return ErrorData(
        error_type="http",
        error_message=_short(message),
        status=status,
        retry_after=retry_after(header(headers, b"retry-after")),
    )


def retry_after(value: bytes | None) -> float | None:
    """Return the seconds that a Retry-After header asks for; None if it is none.

    Args:
        value: Seconds, or the date of HTTP, of which the past is 0 seconds.
    """
    text = (value or b"").decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


def header(headers: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    """Find a header, whatever the case of its name.

    Args:
        headers: By names as they came.
        name: In lower case.
    """
    # The two spellings that servers use, before the slow way.
    value = headers.get(name)
    if value is None:
        value = headers.get(name.title())
    if value is None:
        found = (value for key, value in headers.items() if key.lower() == name)
        value = next(found, None)
    return value


def is_final(error: BaseException) -> bool:
    """Tell whether connecting again is of no use: the certificate stays what it is."""
    return isinstance(error, ssl.SSLCertVerificationError)


def _text_of(error: BaseException) -> str:
    return _short(str(error) or type(error).__name__)


def _short(text: str) -> str:
    return text[:MAX_ERROR_CHARACTERS]
