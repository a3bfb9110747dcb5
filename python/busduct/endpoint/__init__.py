"""Clients of inference endpoints over HTTP: worker processes, adapters, streams."""

from busduct.endpoint._sse import SSEParser
from busduct.endpoint.config import HTTPClientConfig

__all__ = ["HTTPClientConfig", "SSEParser"]
