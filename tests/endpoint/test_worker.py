"""A worker takes queries, does their HTTP, and sends each one result."""

import asyncio
import json
from typing import Any

import pytest
from tests.endpoint.http_server import (
    Peer,
    serving,
)
from tests.endpoint.worker_faces import (
    Wire,
    answer,
    ask,
    say_hello,
    texts,
    working,
)
from tests.processes.conditions import until

from busduct.endpoint import HTTPClientConfig
from busduct.endpoint._worker import Worker
from busduct.errors import ConfigError
from busduct.messages import Query

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_query_becomes_a_request_and_its_response_a_result(any_loop: str) -> None:
    asked: list[Any] = []

    async def script(peer: Peer) -> None:
        asked.append(json.loads(await peer.request()))
        await peer.write(answer("good"))

    async with serving(script) as server, working(server.url, worker_id=3) as wire:
        wire.put(ask("a", model="m"))
        result = await wire.result("a")
    assert asked == [
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    ]
    assert (result.error, texts(result)) == (None, "good")
    assert result.metadata["worker_id"] == 3
    assert result.metadata["usage"] == {"prompt_tokens": 3}
    assert wire.num_advanced == 1


@pytest.mark.parametrize(
    "query",
    [
        Query(id="bad", data={}),
        Query(id="bad", data={"prompt": "x", "extra": float}),
        ask("bad", headers={"X": "a\r\nContent-Length: 0"}),
        ask("bad", headers={"Content-Length": "3"}),
    ],
    ids=["no prompt", "not JSON", "injection", "framing"],
)
async def test_query_that_cannot_be_a_request_is_an_error(
    query: Query, any_loop: str
) -> None:
    async with serving(say_hello) as server, working(server.url) as wire:
        wire.put(ask("a"), query, ask("b"))
        assert (await wire.result("b")).error is None
        result = await wire.result("bad")
        assert result.error is not None
        assert result.error.error_type == "request"
        assert result.metadata == {"worker_id": 0}
        assert wire.num_advanced == 3


async def test_refused_connection_is_an_error(any_loop: str, own_port: int) -> None:
    async with working(f"http://127.0.0.1:{own_port}") as wire:
        wire.put(ask("a"), ask("b"))
        for name in ("a", "b"):
            result = await wire.result(name)
            assert result.error is not None
            assert result.error.error_type == "connection"
        assert wire.num_advanced == 2


async def test_worker_warms_up_before_it_is_ready(any_loop: str) -> None:
    async with (
        serving(say_hello) as server,
        working(server.url, warmup_connections=3) as wire,
    ):
        await until(lambda: wire.is_ready)
        await until(lambda: server.num_open == 3)
        wire.put(ask())
        assert (await wire.result()).error is None
        assert len(server.peers) == 3


async def test_worker_that_cannot_warm_up_says_so_and_goes_on(
    any_loop: str, caplog: pytest.LogCaptureFixture, own_port: int
) -> None:
    url = f"http://127.0.0.1:{own_port}"
    async with working(url, warmup_connections=3) as wire:
        await until(lambda: wire.is_ready)
        assert f"worker 0 made 0 of 3 connections to {url}" in caplog.text


async def test_worker_can_be_stopped_while_it_warms_up(any_loop: str) -> None:
    # Nobody answers a handshake there.
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serving(script) as server:
        url = f"https://127.0.0.1:{server.port}"
        async with working(url, warmup_connections=1, insecure=True) as wire:
            await until(lambda: server.num_open)
        assert not wire.is_ready


async def test_worker_ends_when_its_transport_is_closed(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serving(script) as server, working(server.url) as wire:
        wire.put(ask("a"))
        await until(lambda: wire.num_advanced)
        wire.close()
        await until(lambda: server.num_open == 0)
        assert not wire.sent


async def test_large_prompt_arrives(any_loop: str) -> None:
    lengths: list[int] = []

    async def script(peer: Peer) -> None:
        lengths.append(len(await peer.request()))
        await peer.write(answer())

    async with serving(script) as server, working(server.url) as wire:
        wire.put(ask(prompt="x" * (64 << 20)))
        assert (await wire.result()).error is None
    assert lengths[0] > 64 << 20


async def test_wrong_settings_show_before_the_worker_is_ready() -> None:
    wire = Wire()
    config = HTTPClientConfig(
        endpoint_urls=("http://127.0.0.1:1",),
        num_workers=1,
        warmup_connections=0,
        adapter="json:NoSuchClass",
    )
    with pytest.raises(ConfigError, match="NoSuchClass"):
        await Worker(0, wire, config).run()
    assert not wire.is_ready


async def test_worker_stopped_before_it_runs_ends() -> None:
    wire = Wire()
    config = HTTPClientConfig(
        endpoint_urls=("http://127.0.0.1:1",), num_workers=1, warmup_connections=0
    )
    worker = Worker(0, wire, config)
    worker.stop()
    await asyncio.wait_for(worker.run(), 20.0)
