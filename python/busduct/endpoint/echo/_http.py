"""HTTP responses as bytes (no I/O)."""

from http import HTTPStatus

__all__ = ["EVENTS_HEAD", "LAST_CHUNK", "chunk", "response"]

EVENTS_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def response(status: int, body: bytes, *, closes: bool = False) -> bytes:
    """Return a response with a body of JSON."""
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n%b\r\n%b"
    ) % (
        status,
        _phrase(status),
        len(body),
        b"connection: close\r\n" if closes else b"",
        body,
    )


def chunk(data: bytes) -> bytes:
    """Return `data`, which is not empty, as a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Status"
