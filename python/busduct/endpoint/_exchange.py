"""One query on its way: the request it becomes, and what its response means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from busduct.endpoint._http._errors import (
    MAX_ERROR_BYTES,
    header,
    malformed_error,
    request_error,
    status_error,
    too_large_error,
    truncated_error,
)
from busduct.endpoint._http._protocol import Connection
from busduct.endpoint._http._template import RequestTemplate
from busduct.endpoint._sse import SSEParser
from busduct.errors import FrameTooLargeError
from busduct.messages import ErrorData, Query, QueryResult, StreamChunk

_FIRST_ERROR_STATUS = 300


@dataclass(frozen=True, slots=True)
class ExchangeTerms:
    """What all exchanges of a worker have in common.

    Attributes:
        worker_id: Told in the metadata of each result.
        template: Makes requests.
        adapter: Encodes queries and decodes responses.
        accumulator: Joins the chunks of a stream.
        stream_all_chunks: Whether more than the first chunk is sent on.
        max_event_bytes: Of an event of a stream.
        advance: Called when a query leaves the line, before anything is done for it.
        send: Takes what goes to the caller.
        forget: Called once for each query that ended.
    """

    worker_id: int
    template: RequestTemplate
    adapter: Any
    accumulator: Any
    stream_all_chunks: bool
    max_event_bytes: int
    advance: Callable[[], object]
    send: Callable[[QueryResult | StreamChunk], object]
    forget: Callable[["QueryExchange"], object]


class QueryExchange:
    """A query from when a worker got it until its result was sent.

    Whatever an adapter or accumulator raises ends this query with an error, and nothing
    else.

    Args:
        query: What to ask.
        terms: Of the worker.
    """

    __slots__ = (
        *("query_id", "num_attempts", "connection", "_query", "_terms", "_request"),
        *("_is_ended", "_is_streaming", "_is_past_line", "_body", "_parser"),
        *("_accumulator", "_all_chunks", "_error", "_status", "_has_begun"),
    )

    def __init__(self, query: Query, terms: ExchangeTerms) -> None:
        self.query_id = query.id
        self.num_attempts = 0
        self.connection: Connection | None = None
        self._query: Query | None = query
        self._terms = terms
        self._request: bytes | None = None
        self._is_past_line = False
        self._is_ended = False
        self._is_streaming = False
        self._all_chunks = terms.stream_all_chunks
        self._body: list[bytes] = []
        self._parser: SSEParser | None = None
        self._accumulator: Any = None
        self._error: ErrorData | None = None
        self._status = 0
        self._has_begun = False

    def take(self) -> bytes | None:
        """See `Exchange`."""
        if not self._is_past_line:
            self._is_past_line = True
            # NB: before a byte is written: whoever is told that a query had not started
            # sends it to another worker.
            self._terms.advance()
            if self._query is not None:
                self._request = self._encode(self._query)
                self._query = None
        return self._request

    def cancel(self) -> None:
        """End without a result, and close the connection if it runs."""
        connection = self.connection
        self._end()
        if connection is not None:
            connection.abort()

    def receive_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """See `Exchange`."""
        # Of no use any more, and it may be large.
        self._request = None
        self._status = status
        if status >= _FIRST_ERROR_STATUS:
            self._error = status_error(status, headers, b"")
            return
        kind = header(headers, b"content-type")
        is_stream = self._is_streaming
        if kind is not None:
            is_stream = kind.lstrip()[:17].lower() == b"text/event-stream"
        if is_stream:
            self._begin_stream()

    def receive_body(self, data: bytes) -> None:
        """See `Exchange`."""
        if self._parser is not None:
            self._receive_events(self._parser, data)
        elif self._error is None or sum(map(len, self._body)) < MAX_ERROR_BYTES:
            self._body.append(data)

    def complete(self) -> None:
        """See `Exchange`."""
        if self._is_ended:
            return
        if self._error is not None:
            self._end_with_status(self._error)
        elif self._parser is not None:
            self._complete_stream(self._parser)
        else:
            self._complete_body()

    def fail(self, error: ErrorData) -> None:
        """See `Exchange`."""
        if self._is_ended:
            return
        if self._error is not None:
            self._end_with_status(self._error)
        elif self._accumulator is None:
            self._end(self._failure(error))
        else:
            self._fail_stream(error)

    def _encode(self, query: Query) -> bytes | None:
        try:
            self._is_streaming = bool(query.data.get("stream"))
            # Its caller wants them, whatever the others do. Adapters leave the key out.
            self._all_chunks |= bool(query.data.get("_stream_all_chunks"))
            body = self._terms.adapter.encode_query(query)
            return self._terms.template.build(
                body, is_streaming=self._is_streaming, headers=query.headers
            )
        except Exception as error:
            self._end(self._failure(request_error(error)))
            return None

    def _begin_stream(self) -> None:
        terms = self._terms
        try:
            self._accumulator = terms.accumulator(self.query_id, self._all_chunks)
        except Exception as error:
            connection = self.connection
            self._end(self._failure(malformed_error(_told(error), self._status)))
            if connection is not None:
                connection.abort()
        else:
            self._parser = SSEParser(terms.max_event_bytes)

    def _receive_events(self, parser: SSEParser, data: bytes) -> None:
        adapter = self._terms.adapter
        try:
            events = parser.feed(data)
            if not events:
                return
            is_done = adapter.is_done(events[-1])
            if is_done:
                del events[-1]
            if not self._add_events(events) or is_done:
                self._finish_stream()
        except FrameTooLargeError as error:
            self._stop(too_large_error("event", error.limit, self._status))
        except Exception as error:
            self._stop(malformed_error(_told(error), self._status))

    def _add_events(self, events: list[bytes]) -> bool:
        """Send on what events add; False if one of them is the last of the stream."""
        decode = self._terms.adapter.decode_event
        add = self._accumulator.add_chunk
        for event in events:
            delta = decode(event)
            if delta is not None:
                self._has_begun = True
                chunk = add(delta)
                if chunk is not None:
                    self._terms.send(chunk)
            elif self._terms.adapter.is_done(event):
                return False
        return True

    def _finish_stream(self) -> None:
        """End with all that came; the connection waits for the rest by itself."""
        connection = self.connection
        if connection is not None:
            connection.detach()
        self._end(self._outcome())

    def _complete_stream(self, parser: SSEParser) -> None:
        if parser.finish():
            self._fail_stream(self._truncated("stream ended within an event"))
        elif not self._has_begun:
            self._fail_stream(self._truncated("stream ended before its first event"))
        else:
            self._end(self._outcome())

    def _fail_stream(self, error: ErrorData) -> None:
        """End with what came before a stream broke, unless that is all of it."""
        result = self._outcome()
        if result.error is None:
            is_whole = error.error_type == "truncated" and bool(
                result.metadata.get("finish_reason")
            )
            if not is_whole:
                result = msgspec.structs.replace(
                    result,
                    error=error,
                    response_output=result.response_output if self._has_begun else None,
                )
        self._end(result)

    def _complete_body(self) -> None:
        body = self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        try:
            result = self._terms.adapter.decode_response(whole, self.query_id)
            result.metadata["worker_id"] = self._terms.worker_id
        except Exception as error:
            result = self._failure(malformed_error(_told(error), self._status))
        self._end(result)

    def _end_with_status(self, error: ErrorData) -> None:
        text = status_error(self._status, {}, b"".join(self._body)).error_message
        self._end(self._failure(msgspec.structs.replace(error, error_message=text)))

    def _stop(self, error: ErrorData) -> None:
        """End what can no longer be understood, and do not read on."""
        connection = self.connection
        self._fail_stream(error)
        if connection is not None:
            connection.abort()

    def _outcome(self) -> QueryResult:
        try:
            result: QueryResult = self._accumulator.get_final_output()
            result.metadata["worker_id"] = self._terms.worker_id
        except Exception as error:
            return self._failure(malformed_error(_told(error), self._status))
        return result

    def _failure(self, error: ErrorData) -> QueryResult:
        metadata = {"worker_id": self._terms.worker_id}
        return QueryResult(id=self.query_id, metadata=metadata, error=error)

    def _truncated(self, what: str) -> ErrorData:
        return truncated_error(what, self._status)

    def _end(self, result: QueryResult | None = None) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._query = self._request = None
            self._terms.forget(self)
            if result is not None:
                self._terms.send(result)


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
