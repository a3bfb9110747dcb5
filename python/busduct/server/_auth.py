"""The API key: the check of each request."""

import hmac

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from busduct.server._errors import HttpError, status_and_body

__all__ = ["RequireKey"]


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
