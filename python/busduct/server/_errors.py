"""What goes wrong, as OpenAI's error objects and their HTTP status."""

import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from busduct.errors import (
    BusductError,
    ClosedError,
    EngineDeadError,
    FullError,
    RequestError,
    WorkerDiedError,
    WorkerError,
)

__all__ = ["HttpError", "error_body", "handle_error", "status_and_body"]

logger = logging.getLogger("busduct.server")

STATUS_OF_CODE = {"overloaded": 429, "internal_error": 500}
STARLETTE_TEXTS = {
    404: ("not_found", "there is nothing at this path"),
    405: ("wrong_method", "this path does not take that method"),
}
# Kind, status, code and text; the first that fits.
ENGINE_ERRORS = (
    (FullError, 429, "overloaded", "the service is at its limit; try later"),
    (EngineDeadError, 503, "engine_dead", "the engine is dead; see /health"),
    (
        WorkerDiedError,
        503,
        "worker_died",
        "a process died while it served this request; send it again",
    ),
    (WorkerError, 500, "internal_error", "the model failed on this request"),
    (ClosedError, 503, "shutting_down", "the service is shutting down"),
)


class ErrorDetail(msgspec.Struct, frozen=True):
    """The object that OpenAI's clients read out of an error reply."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    """An error reply, or the data of an error event."""

    error: ErrorDetail


class HttpError(Exception):
    """A request that ends with a status of its own.

    Attributes:
        status: The HTTP status.
        code: A short machine-readable cause.
        param: The field at fault, or None.
        headers: Headers of the reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers


def error_body(error: BaseException) -> bytes:
    """Return the JSON object that tells a client of `error`."""
    return status_and_body(error)[1]


def status_and_body(error: BaseException) -> tuple[int, bytes]:
    """Return the HTTP status for `error` and the JSON object that goes with it.

    What is not the caller's doing names no internals; the log has them.
    """
    status, message, code, param = _describe(error)
    detail = ErrorDetail(message, _type_of(status), param, code)
    return status, msgspec.json.encode(ErrorBody(detail))


def _describe(error: BaseException) -> tuple[int, str, str | None, str | None]:
    if isinstance(error, HttpError):
        return error.status, str(error), error.code, error.param
    if isinstance(error, RequestError):
        status = STATUS_OF_CODE.get(error.code, 400)
        return status, str(error), error.code, error.param
    if isinstance(error, HTTPException):
        code, text = STARLETTE_TEXTS.get(error.status_code, (None, error.detail))
        return error.status_code, text, code, None
    for kind, status, code, text in ENGINE_ERRORS:
        if isinstance(error, kind):
            return status, text, code, None
    return 500, "internal error", "internal_error", None


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


async def handle_error(_request: Request, error: Exception) -> Response:
    """Turn an exception of an endpoint into its reply."""
    if isinstance(error, ClientDisconnect):
        # Nobody reads this; the server wants some response all the same.
        return Response(status_code=499)
    status, body = status_and_body(error)
    if status >= 500 and isinstance(error, BusductError):
        logger.warning("request ended with an error: %s", error)
    headers = dict(getattr(error, "headers", None) or {})
    return Response(body, status, headers, "application/json")
