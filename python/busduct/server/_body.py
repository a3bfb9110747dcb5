"""Read a request's body, within bounds, into a typed object."""

import asyncio
import re
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from busduct.server._config import ServerConfig
from busduct.server._errors import HttpError

__all__ = ["decode_body", "read_body"]

T = TypeVar("T")

# msgspec ends its text with the place: "... - at `$.messages[0].role`".
_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


async def read_body(request: Request, config: ServerConfig) -> bytes:
    """Return the body; no more than its limit is ever held.

    Raises:
        HttpError: 413 for a body over the limit, 408 for one that does not come.
        ClientDisconnect: The client left while it sent.
    """
    limit = config.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(config.body_timeout):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > limit:
                    raise _too_large(limit)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        msg = f"the body did not arrive within {config.body_timeout:g} s"
        raise HttpError(
            408, msg, code="body_timeout", headers={"connection": "close"}
        ) from None


def _too_large(limit: int) -> HttpError:
    msg = f"the body exceeds the limit of {limit} bytes"
    return HttpError(413, msg, code="body_too_large", headers={"connection": "close"})


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the typed request in `body`.

    Raises:
        HttpError: 400, with the field at fault as its `param` where there is one.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        path = place["path"] if place else ""
        if missing := _MISSING.search(text):
            path = f"{path}.{missing['name']}" if path else missing["name"]
        reason = _PLACE.sub("", text)
        message = f"invalid {path}: {reason}" if path else f"invalid body: {reason}"
        code = "missing_field" if missing else "invalid_value"
        raise HttpError(400, message, code=code, param=path or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise HttpError(400, message, code="invalid_json") from None
