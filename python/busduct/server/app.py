"""The ASGI application: paths, and how each request becomes a job on the engine."""

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from busduct.errors import BusductError
from busduct.pipeline import EngineHealth
from busduct.server._auth import RequireKey
from busduct.server._body import decode_body, read_body
from busduct.server._chat import ChatJob
from busduct.server._completions import CompletionJob
from busduct.server._config import ServerConfig
from busduct.server._engine import TextEngine
from busduct.server._errors import HttpError, handle_error
from busduct.server._replies import ModelCard, ModelList, encode, now
from busduct.server._requests import (
    ChatRequest,
    CompletionRequest,
    require_supported,
)
from busduct.server._responses import DeferredReply, EventStream

__all__ = ["create_app"]

# Exception alone would let starlette log each of the others as a bug of ours.
HANDLED = (Exception, BusductError, ClientDisconnect, HTTPException, HttpError)

_completion_decoder = msgspec.json.Decoder(CompletionRequest)
_chat_decoder = msgspec.json.Decoder(ChatRequest)


class _Job(Protocol):
    def reply(self) -> Coroutine[Any, Any, bytes]: ...

    def events(self) -> AsyncGenerator[bytes, None]: ...


def create_app(engine: TextEngine, config: ServerConfig | None = None) -> Starlette:
    """Return the application that serves `engine`.

    Args:
        engine: Started and stopped by the caller; must be started when requests come.
        config: Limits and the API key; where to listen is the caller's business.
    """
    config = config or ServerConfig()
    endpoints = _Endpoints(engine, config)
    key = config.api_key
    return Starlette(
        routes=[
            Route("/health", endpoints.health),
            Route("/v1/models", endpoints.models),
            Route("/v1/models/{model:path}", endpoints.model),
            Route("/v1/completions", endpoints.completions, methods=["POST"]),
            Route("/v1/chat/completions", endpoints.chat, methods=["POST"]),
        ],
        middleware=[Middleware(RequireKey, api_key=key)] if key else [],
        exception_handlers=dict.fromkeys(
            (Exception, BusductError, ClientDisconnect, HTTPException, HttpError),
            handle_error,
        ),
    )


class _Endpoints:
    """What each path does."""

    def __init__(self, engine: TextEngine, config: ServerConfig) -> None:
        self._engine = engine
        self._config = config
        self._created = now()

    async def health(self, request: Request) -> Response:
        """Answer 200 while the engine serves, 503 otherwise."""
        health = self._engine.health()
        status = 200 if health.status == "ok" else 503
        body = _health_body(health, bool(request.scope.get("busduct.authorized", True)))
        return Response(body, status, media_type="application/json")

    async def models(self, _: Request) -> Response:
        """List the one model."""
        return _json(ModelList(data=[self._card()]))

    async def model(self, request: Request) -> Response:
        """Describe the one model."""
        self._require_model(request.path_params["model"])
        return _json(self._card())

    async def completions(self, request: Request) -> Response:
        """Complete one prompt or several."""
        body = await read_body(request, self._config)
        asked = decode_body(_completion_decoder, body)
        self._require_model(asked.model)
        require_supported(asked)
        job = CompletionJob(self._engine, asked, self._config.max_prompts)
        return _start(job, bool(asked.stream))

    async def chat(self, request: Request) -> Response:
        """Answer a chat."""
        body = await read_body(request, self._config)
        asked = decode_body(_chat_decoder, body)
        self._require_model(asked.model)
        require_supported(asked)
        return _start(ChatJob(self._engine, asked), bool(asked.stream))

    def _card(self) -> ModelCard:
        return ModelCard(
            id=self._engine.model_name,
            created=self._created,
            max_model_len=self._engine.context_length,
        )

    def _require_model(self, name: str) -> None:
        if name != self._engine.model_name:
            msg = f"the model {name!r} does not exist here"
            raise HttpError(404, msg, code="model_not_found", param="model")


def _start(job: _Job, stream: bool) -> Response:
    return EventStream(job.events()) if stream else DeferredReply(job.reply())


def _json(reply: msgspec.Struct) -> Response:
    return Response(encode(reply), media_type="application/json")


def _health_body(health: EngineHealth, in_full: bool) -> bytes:
    """Return how the engine stands; to strangers no more than its status."""
    return encode(health) if in_full else encode({"status": health.status})
