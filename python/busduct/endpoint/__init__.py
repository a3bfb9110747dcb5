"""Clients of inference endpoints over HTTP: worker processes, adapters, streams."""

from busduct.endpoint._sse import SSEParser
from busduct.endpoint.accumulators import (
    OpenAISSEAccumulator,
    SGLangSSEAccumulator,
    SSEAccumulatorProtocol,
)
from busduct.endpoint.adapters import (
    HttpRequestAdapter,
    OpenAIChatAdapter,
    OpenAICompletionsAdapter,
    SGLangGenerateAdapter,
)
from busduct.endpoint.client import HTTPEndpointClient
from busduct.endpoint.config import HTTPClientConfig

__all__ = [
    "HTTPClientConfig",
    "HTTPEndpointClient",
    "HttpRequestAdapter",
    "OpenAIChatAdapter",
    "OpenAICompletionsAdapter",
    "OpenAISSEAccumulator",
    "SGLangGenerateAdapter",
    "SGLangSSEAccumulator",
    "SSEAccumulatorProtocol",
    "SSEParser",
]
