"""Host the HTTP application of a stand-in engine in a thread of the test's process."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import uvloop
from tests.server.stand_in import StandInEngine

from busduct.server import ServerConfig, create_app
from busduct.server._config import bind
from busduct.server._listener import Listener


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        assert isinstance(found, dict)
        return found

    @property
    def events(self) -> list[Any]:
        """The events' data; JSON but for the closing one."""
        return events_in(self.body)


def events_in(body: bytes) -> list[Any]:
    found = []
    for frame in body.decode().split("\n\n"):
        if frame:
            assert frame.startswith("data: ")
            data = frame.removeprefix("data: ")
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


class Client:
    """A plain HTTP client, with no notion of OpenAI."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: object) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, data, {"content-type": "application/json"})

    def open(self, path: str, body: object) -> socket.socket:
        """Send a request and return its connection, the reply unread."""
        data = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (path.encode(), len(data), data)
        )
        return connection


@contextmanager
def hosted(engine: StandInEngine, **settings: Any) -> Iterator[Client]:
    """Serve `engine` at a port of its own until the block ends."""
    config = ServerConfig(port=0, **settings)
    bound = bind(config)
    ready = threading.Event()
    held: list[tuple[asyncio.AbstractEventLoop, Listener]] = []

    async def run() -> None:
        listener = Listener(
            create_app(engine, config),
            idle_timeout=config.idle_timeout,
            on_ready=ready.set,
        )
        held.append((asyncio.get_running_loop(), listener))
        await listener.serve([bound])

    thread = threading.Thread(target=uvloop.run, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(50)
    try:
        yield Client(bound.getsockname()[1])
    finally:
        loop, listener = held[0]
        loop.call_soon_threadsafe(listener.cut_off)
        thread.join(50)
        bound.close()
        assert not thread.is_alive()
