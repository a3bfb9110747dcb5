"""The API key: where it comes from, and the check of each request."""

import hmac
import os
import stat
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from busduct.errors import AuthError, ConfigError
from busduct.server._errors import HttpError, status_and_body

__all__ = ["API_KEY_VARIABLE", "RequireKey", "load_api_key"]

API_KEY_VARIABLE = "BUSDUCT_API_KEY"


def load_api_key(path: Path | None) -> str | None:
    """Return the key in a file that only we can read, else that of the environment.

    A key among the arguments would be seen by every user who can list processes.

    Args:
        path: File with the key as its only line; None reads ``BUSDUCT_API_KEY``.

    Returns:
        The key, or None where there is neither.

    Raises:
        AuthError: The file belongs to or is open to somebody else.
        ConfigError: There is no such file, or no key in it.
    """
    if path is None:
        return os.environ.get(API_KEY_VARIABLE) or None
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            key = file.read(4096)
    except OSError as error:
        msg = f"API key file {path}: {error.strerror}"
        raise ConfigError(msg) from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.geteuid():
        msg = f"API key file {path} has mode {mode:04o}; it must be ours and 0600"
        raise AuthError(msg)
    try:
        text = key.decode("ascii").strip()
    except UnicodeDecodeError as error:
        msg = f"API key file {path} is not ASCII"
        raise ConfigError(msg) from error
    if not text:
        msg = f"API key file {path} is empty"
        raise ConfigError(msg)
    return text


class RequireKey:
    """Let a request through if it carries the key; /health may be asked without."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        error = HttpError(401, "a valid API key is needed", code="invalid_api_key")
        status, body = status_and_body(error)
        headers = {"www-authenticate": "Bearer"}
        response = Response(body, status, headers, "application/json")
        await response(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        given = key.strip().encode("latin-1", "replace")
        known = hmac.compare_digest(given, self._expected)
        scope["busduct.authorized"] = known and scheme.lower() == "bearer"
        return bool(scope["busduct.authorized"]) or scope["path"] == "/health"
