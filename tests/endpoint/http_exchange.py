"""An exchange that notes what it is told, and a pool to start it on."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from busduct.endpoint._http._connector import Connector
from busduct.endpoint._http._limits import PoolLimits
from busduct.endpoint._http._origin import Origin
from busduct.endpoint._http._pool import ConnectionPool
from busduct.endpoint._http._protocol import Connection
from busduct.endpoint._http._template import RequestTemplate
from busduct.messages import ErrorData

LIMITS = {
    "max_connections": 4,
    "max_concurrent_connects": 128,
    "max_idle_time": 60.0,
    "max_retries": 1,
    "max_header_bytes": 64 << 10,
    "max_body_bytes": 1 << 30,
}


class Recorder:
    """A request whose response is noted."""

    def __init__(self, template: RequestTemplate, body: bytes = b"{}") -> None:
        self.num_attempts = 0
        self.connection: Connection | None = None
        self.num_taken = 0
        self.is_cancelled = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.error: ErrorData | None = None
        self.ended = asyncio.Event()
        self._request = template.build(body, is_streaming=False)

    def take(self) -> bytes | None:
        self.num_taken += 1
        return None if self.is_cancelled else self._request

    def receive_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        assert not self.status
        self.status = status
        self.headers = dict(headers)

    def receive_body(self, data: bytes) -> None:
        assert self.status
        self.body += data

    def complete(self) -> None:
        assert not self.ended.is_set()
        self.ended.set()

    def fail(self, error: ErrorData) -> None:
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()


class Client:
    """A pool for one port, and its exchanges."""

    def __init__(
        self, port: int, tls: ssl.SSLContext | None, timeout: float, limits: Any
    ) -> None:
        scheme = "http" if tls is None else "https"
        origin = Origin.of(f"{scheme}://{limits.pop('host', '127.0.0.1')}:{port}/v1")
        self.template = RequestTemplate(origin)
        self.pool = ConnectionPool(
            Connector(origin, tls, timeout), PoolLimits(**{**LIMITS, **limits})
        )

    def start(self, body: bytes = b"{}") -> Recorder:
        made = Recorder(self.template, body)
        self.pool.submit(made)
        return made

    async def ask(self, body: bytes = b"{}") -> Recorder:
        """Wait for the end of an exchange."""
        made = self.start(body)
        async with asyncio.timeout(20.0):
            await made.ended.wait()
        return made


@contextlib.asynccontextmanager
async def client_of(
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float = 10.0,
    **limits: Any,
) -> AsyncIterator[Client]:
    client = Client(port, tls, timeout, limits)
    try:
        yield client
    finally:
        await client.pool.close()


async def all_ended(started: list[Recorder]) -> None:
    async with asyncio.timeout(20.0):
        for each in started:
            await each.ended.wait()
