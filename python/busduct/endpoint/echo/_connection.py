"""One connection: requests parsed, in order, whatever way their bytes are cut."""

import asyncio
from abc import abstractmethod
from typing import cast

import httptools

from busduct.endpoint.echo._formats import error_body, models_body
from busduct.endpoint.echo._http import response

__all__ = ["Connection", "Service"]

_MAX_URL_BYTES = 8192


class Service:
    """What the connections of a server have in common.

    Attributes:
        connections: Those that are open.
        is_empty: Set while there are none.
        num_requests: Requests that came whole.
        max_body_bytes: A larger body is refused.
    """

    def __init__(self, model: str, max_body_bytes: int) -> None:
        self.connections: set[Connection] = set()
        self.is_empty = asyncio.Event()
        self.is_empty.set()
        self.num_requests = 0
        self.max_body_bytes = max_body_bytes
        self._pages = {
            b"/health": response(200, b'{"status":"ok"}'),
            b"/v1/models": response(200, models_body(model)),
        }

    def add(self, connection: "Connection") -> None:
        """Note a connection that opened."""
        self.connections.add(connection)
        self.is_empty.clear()

    def discard(self, connection: "Connection") -> None:
        """Note that a connection closed."""
        self.connections.discard(connection)
        if not self.connections:
            self.is_empty.set()

    def page(self, method: bytes, path: bytes, *, takes_posts: bool) -> bytes:
        """Return the response to a request that asks for no answer of the model."""
        page = self._pages.get(path)
        if page is not None and method == b"GET":
            return page
        if page is None and not takes_posts:
            return response(404, error_body("nothing at this path", "not_found"))
        return response(405, error_body("wrong method here", "wrong_method"))


class Connection(asyncio.Protocol):
    """Parse requests; a subclass answers them.

    Args:
        service: Of the server.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._num_body_bytes = 0
        self._takes_more = True

    @abstractmethod
    def answer(self, path: bytes, body: bytes) -> bool:
        """Answer a POST, at once or later; tell whether there is such a path."""

    @abstractmethod
    def reply(self, data: bytes) -> None:
        """Send a response after those to all earlier requests."""

    @abstractmethod
    def close_after_replies(self) -> None:
        """Close once all requests that came have their responses."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._service.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._takes_more = False
        self._service.discard(self)
        # The parser holds methods of ours: a cycle that would wait for the collector.
        del self._parser

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse; the methods below are called by the parser."""
        if not self._takes_more:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, "this is not HTTP/1.1", "invalid_http")

    def pause_writing(self) -> None:
        """Take no more requests from a client that does not read their responses."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def on_url(self, url: bytes) -> None:
        """Note the path, or a piece of it."""
        self._url += url
        if len(self._url) > _MAX_URL_BYTES:
            self._refuse(414, "path is too long", "invalid_http")

    def on_body(self, body: bytes) -> None:
        """Note a piece of the body."""
        if not self._takes_more:
            return
        self._body.append(body)
        self._num_body_bytes += len(body)
        limit = self._service.max_body_bytes
        if self._num_body_bytes > limit:
            self._body.clear()
            self._refuse(413, f"body exceeds limit of {limit} bytes", "too_large")

    def on_message_complete(self) -> None:
        """Answer a request."""
        if not self._takes_more:
            return
        path, parts = self._url, self._body
        self._url, self._body, self._num_body_bytes = b"", [], 0
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if b"?" in path:
            path = path.partition(b"?")[0]
        self._service.num_requests += 1
        method = self._parser.get_method()
        if method != b"POST" or not self.answer(path, body):
            takes_posts = method != b"POST" and self.takes_posts(path)
            self.reply(self._service.page(method, path, takes_posts=takes_posts))
        if not self._parser.should_keep_alive():
            self._takes_more = False
            self.close_after_replies()

    @abstractmethod
    def takes_posts(self, path: bytes) -> bool:
        """Tell whether requests for answers go to `path`."""

    def _refuse(self, status: int, message: str, code: str) -> None:
        if self._takes_more:
            self._takes_more = False
            self.reply(response(status, error_body(message, code), closes=True))
            self.close_after_replies()
