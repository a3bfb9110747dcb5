"""What a hostile endpoint does becomes an error of that request, and no more."""

import asyncio

import pytest
from tests.endpoint.http_exchange import client_of
from tests.endpoint.http_server import (
    OK,
    Peer,
    chunk,
    replying,
    say_ok,
    serving,
)
from tests.processes.conditions import until

pytestmark = pytest.mark.usefixtures("no_leaks")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BEFORE = "connection lost before any byte of the response"
WITHIN = "connection lost before the response was whole"
# What is sent, whether a reset follows or an end, and what the request is told.
CUT = {
    "nothing, end": (b"", False, "connection", BEFORE, None),
    "nothing, reset": (b"", True, "connection", BEFORE, None),
    "half a head, end": (HEAD[:20], False, "truncated", "within the response's", None),
    "half a head, reset": (HEAD[:20], True, "truncated", "within the response's", None),
    "100 only, end": (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        False,
        "truncated",
        "within the response's",
        None,
    ),
    "head, end": (HEAD, False, "truncated", WITHIN, 200),
    "head, reset": (HEAD, True, "truncated", WITHIN, 200),
    "half a body, end": (HEAD + b"12345", False, "truncated", WITHIN, 200),
    "half a body, reset": (HEAD + b"12345", True, "truncated", WITHIN, 200),
    "half a chunk, end": (CHUNKED + b"5\r\n123", False, "truncated", WITHIN, 200),
    "no last chunk, end": (CHUNKED + chunk(b"123"), False, "truncated", WITHIN, 200),
    "no last chunk, reset": (CHUNKED + chunk(b"123"), True, "truncated", WITHIN, 200),
}
MALFORMED = {
    "garbage": b"what is this\r\n\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x46",
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    ),
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "chunk of no size": CHUNKED + b"zz\r\nab\r\n",
    "chunk too long": CHUNKED + b"1\r\nabc\r\n",
    "upgrade": (
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nabc"
    ),
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**70,
    "null in a header": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
}


@pytest.mark.parametrize("name", CUT)
async def test_cut_response_is_an_error(name: str, any_loop: str) -> None:
    sent, is_reset, kind, message, status = CUT[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index:
            await peer.write(OK)
            await say_ok(peer)
        if sent:
            await peer.write(sent)
            # Read before a reset, which may take it away.
            await peer_read.wait()
        if is_reset:
            peer.reset()

    peer_read = asyncio.Event()
    async with serving(script) as server, client_of(server.port) as client:
        cut = client.start()
        if sent:
            await until(lambda: cut.connection is not None)
            await until(lambda: cut.connection._num_quiet or cut.body)  # type: ignore[union-attr]
            peer_read.set()
        await asyncio.wait_for(cut.ended.wait(), 20)
        assert cut.error is not None
        assert (cut.error.error_type, cut.error.status) == (kind, status)
        assert message in cut.error.error_message
        # Never twice: it may have been processed.
        assert cut.num_taken == 1
        got = await client.ask()
        assert (got.error, got.body) == (None, b"{}")


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_not_http_is_an_error(name: str, any_loop: str) -> None:
    async with (
        serving(replying(MALFORMED[name])) as server,
        client_of(server.port) as client,
    ):
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "malformed"
        assert client.pool.num_open == 0


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * (10 << 20), "response head"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (2 << 20), "response head"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: "
            + b"a" * (70 << 10)
            + b"\r\n\r\n{}",
            "response head",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (1 << 16), "response head"),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * (1 << 16), "response trailers"),
        (CHUNKED + chunk(b"1") + b"1;" + b"a" * (1 << 18), "response trailers"),
    ],
    ids=["a header", "headers", "in one read", "interim", "trailers", "extension"],
)
async def test_headers_without_end_are_cut_off(
    head: bytes, what: str, any_loop: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(head)
        await peer.gone()

    async with serving(script) as server, client_of(server.port) as client:
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "too_large"
        assert got.error.error_message == f"{what} of more than 65536 bytes"
        await until(lambda: server.num_open == 0)


async def test_long_stream_of_small_chunks_is_not_too_large() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(CHUNKED)
        for _ in range(300):
            for part in (b"1\r", b"\n", b"x", b"\r\n"):
                await peer.write(part)
                await asyncio.sleep(0)
        await peer.write(b"0\r\n\r\n")

    async with (
        serving(script) as server,
        client_of(server.port, max_header_bytes=200) as client,
    ):
        got = await client.ask()
        assert (got.error, len(got.body)) == (None, 300)


async def test_body_over_the_limit_is_cut_off(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(CHUNKED)
        while True:
            await peer.write(chunk(b"x" * 10_000))

    async with (
        serving(script) as server,
        client_of(server.port, max_body_bytes=100_000) as client,
    ):
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "too_large"
        assert got.error.error_message == "response body of more than 100000 bytes"
        await until(lambda: server.num_open == 0)


async def test_response_before_the_request_is_written_is_given(any_loop: str) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await peer.write(refusal)
        await until(lambda: got.ended.is_set())
        peer.reset()

    async with serving(script) as server, client_of(server.port) as client:
        got = client.start(b"x" * (64 << 20))
        await asyncio.wait_for(got.ended.wait(), 20)
        assert (got.error, got.status, got.body) == (None, 413, b"big")
        assert client.pool.num_open == 0


async def test_large_request_arrives_whole(any_loop: str) -> None:
    body = bytes(range(256)) * (64 << 12)
    arrived: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            arrived.append(await peer.request())
            await peer.write(OK)

    async with serving(script) as server, client_of(server.port) as client:
        assert (await client.ask(body)).error is None
        assert (await client.ask(b"small")).error is None
        assert len(server.peers) == 1
    assert arrived == [body, b"small"]
