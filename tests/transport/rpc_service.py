"""A service of remote calls to test with, and a client of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from busduct.errors import RpcError
from busduct.transport.rpc import RpcClient, RpcServer


class NoSuchModelError(RpcError):
    """Raised on purpose."""


class Service:
    """Methods that tests call, and what became of them."""

    def __init__(self) -> None:
        self.num_started = 0
        self.num_cancelled = 0
        self.num_running = 0
        self.most_running = 0
        self.gate = asyncio.Event()

    def add_to(self, server: RpcServer) -> None:
        """Let clients call the methods."""
        for function in (self.add, self.echo, self.hold, self.fail, self.ping):
            server.add(function)

    async def add(self, a: int, b: int = 2) -> int:
        """Add."""
        await asyncio.sleep(0)
        return a + b

    async def echo(self, value: Any) -> Any:
        """Give back what came."""
        return value

    def ping(self) -> str:
        """Answer at once."""
        return "pong"

    async def hold(self) -> str:
        """Run until the gate opens."""
        self.num_started += 1
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_running -= 1
        return "held"

    async def fail(self, kind: str) -> None:
        """Raise."""
        if kind == "meant":
            text = "no model of that name"
            raise NoSuchModelError(text)
        if kind == "exposed":
            text = "7 is too many"
            raise LookupError(text)
        text = "/etc/secret is not readable"
        raise OSError(text)


@asynccontextmanager
async def serving(
    backend: ModuleType, address: str = "tcp://127.0.0.1:0", **options: Any
) -> AsyncIterator[tuple[Service, RpcServer, str]]:
    """Run the service in a context of its own."""
    async with backend.Context() as ctx, RpcServer(ctx, **options) as server:
        service = Service()
        service.add_to(server)
        yield service, server, server.bind(address)


@asynccontextmanager
async def calling(
    backend: ModuleType, endpoint: str, **options: Any
) -> AsyncIterator[RpcClient]:
    """Open a client in a context of its own."""
    async with backend.Context() as ctx, RpcClient(ctx, endpoint, **options) as client:
        yield client
