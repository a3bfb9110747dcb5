"""uvicorn as a part of this process: ours are its signals, its clock and its end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from busduct.server._errors import HttpError, error_body

__all__ = ["Listener"]

MAX_HEAD_BYTES = 64 << 10


class _State(ServerState):
    """uvicorn's state, with a Date header made when a reply needs it.

    uvicorn itself wakes ten times a second to see whether the date is out of date.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._headers = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, _: list[tuple[bytes, bytes]]) -> None:
        """Ignore what uvicorn's constructor sets."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's connection, with bounds on what comes before a request is whole.

    Without them a client that says nothing keeps its connection for ever, and one that
    sends headers without end fills our memory.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._num_head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_when_idle()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._num_head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._num_head_bytes += len(data)
        if self._num_head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"request head exceeds {MAX_HEAD_BYTES} bytes")
        elif self.cycle is None or self.cycle.response_complete:
            self._close_when_idle()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the form of all other errors."""
        body = error_body(HttpError(400, msg, code="invalid_http"))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def _close_when_idle(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )


class Listener(uvicorn.Server):
    """Serve an application at a bound socket until told to stop."""

    def __init__(
        self, app: ASGIApp, *, idle_timeout: int, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=idle_timeout,
            )
        )
        self.server_state = _State()
        self._on_ready = on_ready
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more requests; end once those under way have their replies."""
        self.should_exit = True
        self._stopping.set()

    def cut_off(self) -> None:
        """End the requests under way where they are."""
        self.force_exit = True
        self.stop()
        for task in self.server_state.tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the owner of the process."""
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._on_ready()

    async def main_loop(self) -> None:
        """Wait for `stop`."""
        await self._stopping.wait()
