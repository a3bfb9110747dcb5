"""One connection to an endpoint: writes a request, parses the response to it."""

import asyncio
import select
import socket
from typing import TYPE_CHECKING, Any

import httptools

from busduct.endpoint._http._errors import (
    header,
    lost_error,
    malformed_error,
    too_large_error,
    truncated_error,
)
from busduct.endpoint._http._interface import NOBODY, Exchange
from busduct.messages import ErrorData

if TYPE_CHECKING:
    from busduct.endpoint._http._pool import ConnectionPool

_FIRST_FINAL_STATUS = 200


class Connection(asyncio.Protocol):
    """One connection, kept alive between requests.

    The response is parsed within the call that read it, and handed on: no task, no
    future, and no parser of its own for a request.

    Args:
        pool: Told when it is free again, or lost.
        max_header_bytes: Of a head; also of what else comes without bringing a byte of
            a body, such as trailers.
        max_body_bytes: Of a body.
    """

    __slots__ = (
        *("idle_since", "_pool", "_max_header_bytes", "_max_body_bytes", "_socket"),
        *("_transport", "_parser", "_exchange", "_headers", "_pieces", "_status"),
        *("_is_complete", "_keeps_alive", "_is_all_written", "_num_quiet", "_num_body"),
        *("on_header", "on_body"),
    )

    def __init__(
        self, pool: "ConnectionPool", max_header_bytes: int, max_body_bytes: int
    ) -> None:
        self.idle_since = 0.0
        self._pool = pool
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes
        self._socket: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        # Looked up by the parser, which so calls them without a Python frame.
        self.on_header = self._headers.__setitem__
        self.on_body = self._pieces.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._forget_response()
        self._is_all_written = True

    @property
    def is_lost(self) -> bool:
        """Whether it was closed, by whomever."""
        return self._transport is None or self._transport.is_closing()

    def attach(self, plain_socket: socket.socket | None) -> None:
        """Learn of the socket below, which requests are written to at once.

        Args:
            plain_socket: None if it is for TLS.
        """
        self._socket = plain_socket

    def send(self, exchange: Exchange, request: bytes) -> bool:
        """Start an exchange.

        Args:
            exchange: Gets the response.
            request: All of it.

        Returns:
            False if the connection is lost, and provably nothing was written.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._socket is None:
            transport.write(request)
            self._is_all_written = not transport.get_write_buffer_size()
        elif not self._write_plain(self._socket, transport, request):
            return False
        self._exchange = exchange
        exchange.connection = self
        return True

    def _write_plain(
        self, plain_socket: socket.socket, transport: asyncio.Transport, request: bytes
    ) -> bool:
        # Nothing waits in the transport between requests, so it is not overtaken. That
        # the kernel took nothing is seen here, and a transport would not tell it.
        try:
            num_written = plain_socket.send(request)
        except BlockingIOError:
            num_written = 0
        except OSError:
            return False
        self._is_all_written = num_written == len(request)
        if not self._is_all_written:
            transport.write(memoryview(request)[num_written:])
        return True

    def looks_closed(self) -> bool:
        """Tell whether the endpoint has closed it, or said what nobody asked for."""
        if self.is_lost or self._socket is None:
            return self.is_lost
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def detach(self) -> None:
        """Tell the exchange no more, and be free again when the response is whole.

        For a stream that said that it is over, the end of which is still to come.
        """
        if self._exchange is not None:
            self._exchange.connection = None
            self._exchange = NOBODY
            if not self._is_complete:
                self._pool.note_ending(self)

    def abort(self) -> None:
        """Close at once; the exchange, if there is one, hears no more."""
        if self._exchange is not None:
            self._exchange.connection = None
            self._exchange = None
        self._pieces.clear()
        if self._transport is not None:
            self._transport.abort()
        self._pool.discard(self)

    def pause_reading(self) -> None:
        """Let what comes wait in the kernel."""
        if self._transport is not None and not self.is_lost:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self._transport is not None and not self.is_lost:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        status = self._status
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_complete:
                self._fail(malformed_error(f"not HTTP: {error}", self._status or None))
                return
            # What follows a whole response takes nothing from it.
            self._keeps_alive = False
        if self._status != status:
            if len(data) > self._max_header_bytes and self._head_is_too_large():
                return
            exchange.receive_head(self._status, self._headers)
        if self._pieces:
            self._hand_on(exchange)
        elif self._is_too_quiet(len(data)):
            return
        # NB: what it was handed may have made the exchange detach, or abort this.
        if self._is_complete and self._exchange is not None:
            self._finish(self._exchange)

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`."""
        exchange = self._exchange
        if exchange is not None and self._status and self._ends_with_connection():
            self._keeps_alive = False
            self._finish(exchange)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        if self._status:
            how = f": {exc}" if exc else ""
            message = f"connection lost before the response was whole{how}"
            self._fail(truncated_error(message, self._status))
        elif self._num_quiet:
            self._fail(truncated_error("connection lost within the response's head"))
        else:
            self._fail(lost_error(exc))
        self._pool.forget(self)
        # Each holds the other, and a worker may run without collecting cycles.
        self._parser = None

    def on_message_begin(self) -> None:
        """See `httptools`."""
        if self._is_complete:
            msg = "a response to no request"
            raise ValueError(msg)

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            self._headers.clear()
        else:
            self._status = status
            self._keeps_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """See `httptools`."""
        self._is_complete = self._status != 0

    def _hand_on(self, exchange: Exchange) -> None:
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._num_quiet = 0
        self._num_body += len(body)
        if self._num_body > self._max_body_bytes:
            limit = self._max_body_bytes
            self._fail(too_large_error("response body", limit, self._status))
        else:
            exchange.receive_body(body)

    def _is_too_quiet(self, nbytes: int) -> bool:
        self._num_quiet += nbytes
        if self._num_quiet <= self._max_header_bytes or self._is_complete:
            return False
        what = "response trailers" if self._status else "response head"
        limit = self._max_header_bytes
        self._fail(too_large_error(what, limit, self._status or None))
        return True

    def _head_is_too_large(self) -> bool:
        limit = self._max_header_bytes
        # Each has ": " and a line end besides.
        nbytes = sum(
            len(name) + len(value) + 4 for name, value in self._headers.items()
        )
        if nbytes > limit:
            self._fail(too_large_error("response head", limit, self._status))
        return nbytes > limit

    def _ends_with_connection(self) -> bool:
        """Tell whether this response has no other end than that of the connection."""
        coding = header(self._headers, b"transfer-encoding")
        if coding is not None:
            return b"chunked" not in coding.lower()
        return header(self._headers, b"content-length") is None

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = exchange.connection = None
        is_reusable = self._keeps_alive and self._request_is_written()
        self._forget_response()
        if is_reusable:
            exchange.complete()
            self._pool.release(self)
        else:
            # Not left to write to one that has already answered.
            self.abort()
            exchange.complete()

    def _request_is_written(self) -> bool:
        if not self._is_all_written and self._transport is not None:
            self._is_all_written = not self._transport.get_write_buffer_size()
        return self._is_all_written

    def _fail(self, error: ErrorData) -> None:
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.fail(error)

    def _forget_response(self) -> None:
        self._headers.clear()
        self._status = 0
        self._is_complete = False
        self._keeps_alive = False
        self._num_quiet = 0
        self._num_body = 0
