"""Serve one listening socket on the running loop."""

import asyncio
import socket
from collections.abc import Callable

from busduct.endpoint.echo._config import EchoConfig
from busduct.endpoint.echo._connection import Connection, Service
from busduct.endpoint.echo._listeners import tls_context
from busduct.endpoint.echo._paced import PacedConnection, PacedService
from busduct.endpoint.echo._prebuilt import PrebuiltConnection, PrebuiltService
from busduct.endpoint.echo._timer_wheel import TimerWheel

__all__ = ["Serving"]


class Serving:
    """What answers at one socket.

    Args:
        config: Of the server.
    """

    def __init__(self, config: EchoConfig) -> None:
        self._tls = tls_context(config)
        self._wheel = TimerWheel(asyncio.get_running_loop())
        self._server: asyncio.Server | None = None
        self.service: Service
        self._new_connection: Callable[[], Connection]
        if config.mode == "max":
            prebuilt = PrebuiltService(config)
            self.service = prebuilt
            self._new_connection = lambda: PrebuiltConnection(prebuilt)
        else:
            paced = PacedService(config, self._wheel)
            self.service = paced
            self._new_connection = lambda: PacedConnection(paced)

    async def start(self, listener: socket.socket) -> None:
        """Serve; the socket is ours from here on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._new_connection, sock=listener, ssl=self._tls, backlog=65535
        )

    async def close(self) -> None:
        """Close the socket and all connections, whatever is under way."""
        self._wheel.close()
        if self._server is not None:
            self._server.close()
            for connection in list(self.service.connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None
        # An aborted connection is told of it in the next turns of the loop.
        await self.service.is_empty.wait()
