"""A connection understands every framing of a response, however it is cut."""

import pytest
from tests.endpoint.http_exchange import client_of
from tests.endpoint.http_server import (
    OK,
    STREAM_HEAD,
    Peer,
    chunk,
    replying,
    serving,
)
from tests.processes.conditions import until

pytestmark = pytest.mark.usefixtures("no_leaks")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES = {
    "length": (OK, b"{}"),
    "chunked": (CHUNKED + chunk(b"ab") + chunk(b"c") + chunk(b""), b"abc"),
    "trailers": (CHUNKED + chunk(b"ab") + b"0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n", b"ab"),
    "extensions": (CHUNKED + b"2;a=b\r\nab\r\n0\r\n\r\n", b"ab"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
    "103 and 100 first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        + OK,
        b"{}",
    ),
    "lower case": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
    "lines folded to LF only in values": (
        b"HTTP/1.1 200\r\nContent-Length: 1\r\nX: \r\n\r\nx",
        b"x",
    ),
}
CLOSED = {
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "until the end, HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nabc",
    "length, HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "bytewise"])
async def test_response_is_whole_and_the_connection_goes_on(
    name: str, is_cut: bool, any_loop: str
) -> None:
    response, body = RESPONSES[name]
    pieces = (
        [response[i : i + 1] for i in range(len(response))] if is_cut else [response]
    )

    async def script(peer: Peer) -> None:
        while True:
            await replying(*pieces)(peer)

    async with serving(script) as server, client_of(server.port) as client:
        for _ in range(2):
            got = await client.ask()
            assert (got.error, got.body) == (None, body)
            assert got.status in (200, 204)
        assert len(server.peers) == 1
        assert client.pool.num_idle == 1


@pytest.mark.parametrize("name", CLOSED)
async def test_response_that_closes_is_whole_and_not_reused(
    name: str, any_loop: str
) -> None:
    async with (
        serving(replying(CLOSED[name])) as server,
        client_of(server.port) as client,
    ):
        for _ in range(2):
            got = await client.ask()
            assert (got.error, got.body, got.status) == (None, b"abc", 200)
        assert len(server.peers) == 2
        assert client.pool.num_open == 0


async def test_connection_that_asks_to_close_is_closed_by_us() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(CLOSED["close"])
        await peer.gone()
        gone.append(peer.index)

    gone: list[int] = []
    async with serving(script) as server, client_of(server.port) as client:
        await client.ask()
        await client.ask()
        await until(lambda: gone == [0, 1])


async def test_bytes_after_a_whole_response_take_nothing_from_it() -> None:
    async with (
        serving(replying(OK + b"HTTP/1.1 500 Unasked\r\n\r\n")) as server,
        client_of(server.port) as client,
    ):
        got = await client.ask()
        assert (got.error, got.body) == (None, b"{}")
        assert client.pool.num_open == 0


async def test_a_second_response_is_not_given_to_the_next_request() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(OK)
        await until(lambda: client.pool.num_idle)
        await peer.write(OK.replace(b"{}", b"no"))
        await peer.gone()

    async with serving(script) as server, client_of(server.port) as client:
        for _ in range(3):
            assert (await client.ask()).body == b"{}"
            await until(lambda: client.pool.num_open == 0)


async def test_headers_are_given_as_they_came() -> None:
    reply = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"
    async with (
        serving(replying(STREAM_HEAD.replace(b"200", b"201") + chunk(b""))) as server,
        client_of(server.port) as client,
    ):
        got = await client.ask()
        assert got.status == 201
        assert got.headers[b"Content-Type"] == b"text/event-stream"
    async with serving(replying(reply)) as server, client_of(server.port) as client:
        got = await client.ask()
        assert (got.status, got.headers[b"Retry-After"]) == (429, b"3")


async def test_headers_of_an_interim_response_are_not_those_of_the_last() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\n" + OK
    async with serving(replying(reply)) as server, client_of(server.port) as client:
        got = await client.ask()
        assert got.status == 200
        assert b"Retry-After" not in got.headers
