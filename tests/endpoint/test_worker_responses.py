"""A worker makes one result of whatever a response is."""

import pytest
from tests.endpoint.http_server import (
    Peer,
    replying,
    serving,
)
from tests.endpoint.worker_faces import (
    answer,
    ask,
    working,
)

from busduct.endpoint import _worker
from busduct.endpoint._exchange import ExchangeTerms, QueryExchange
from busduct.messages import Query

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("is_streaming", [False, True])
@pytest.mark.parametrize("status", [400, 429, 503, 302])
async def test_error_status_is_an_error_with_what_the_endpoint_says(
    status: int, is_streaming: bool, any_loop: str
) -> None:
    body = b'{"error": "busy"}' + b" " * 1000
    reply = (
        b"HTTP/1.1 %d Busy\r\nContent-Type: text/event-stream\r\nRetry-After: 7\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
    )
    num_requests = 0

    async def script(peer: Peer) -> None:
        nonlocal num_requests
        while True:
            await peer.request()
            num_requests += 1
            await peer.write(reply if num_requests == 1 else answer())

    async with (
        serving(script) as server,
        working(server.url, max_retries=5) as wire,
    ):
        wire.put(ask("a", stream=is_streaming))
        result = await wire.result("a")
        assert result.error is not None
        assert (result.error.error_type, result.error.status) == ("http", status)
        assert result.error.retry_after == 7.0
        assert result.error.error_message.startswith('{"error": "busy"}')
        assert len(result.error.error_message) == 512
        assert result.response_output is None
        assert result.metadata == {"worker_id": 0}
        assert num_requests == 1
        # The connection is kept.
        wire.put(ask("b"))
        assert (await wire.result("b")).error is None
        assert len(server.peers) == 1


async def test_error_of_which_the_body_is_cut_is_still_that_error() -> None:
    reply = b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nout of memory"
    async with serving(replying(reply)) as server, working(server.url) as wire:
        wire.put(ask())
        result = await wire.result()
    assert result.error is not None
    assert (result.error.error_type, result.error.status) == ("http", 500)
    assert result.error.error_message == "out of memory"


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}", b'{"choices": "\xff"}'])
async def test_body_that_is_no_answer_is_malformed(body: bytes) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with serving(replying(reply)) as server, working(server.url) as wire:
        wire.put(ask())
        result = await wire.result()
    assert result.error is not None
    assert (result.error.error_type, result.error.status) == ("malformed", 200)


async def test_no_more_of_an_error_is_kept_than_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Noted(QueryExchange):
        def __init__(self, query: Query, terms: ExchangeTerms) -> None:
            super().__init__(query, terms)
            exchanges.append(self)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(b"HTTP/1.1 500 No\r\nContent-Length: 5000000\r\n\r\n")
        while True:
            await peer.write(b"x" * 10000)

    exchanges: list[QueryExchange] = []
    monkeypatch.setattr(_worker, "QueryExchange", Noted)
    async with serving(script) as server, working(server.url) as wire:
        wire.put(ask())
        await wire.result()
        assert len(exchanges) == 1
        assert sum(map(len, exchanges[0]._body)) < 1 << 20
