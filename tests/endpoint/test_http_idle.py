"""Connections are made ahead, closed when idle for long, and not used when dead."""

import asyncio
import socket

import pytest
from tests.endpoint.http_exchange import Recorder, all_ended, client_of
from tests.endpoint.http_server import (
    OK,
    Peer,
    end_at_once,
    say_ok,
    serving,
)
from tests.processes.conditions import until

from busduct.endpoint._http import _pool

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_warm_up_keeps_to_the_limit_and_tells_what_it_made() -> None:
    async with serving(say_ok) as server, client_of(server.port) as client:
        assert await client.pool.warm_up(100) == 4
        assert await client.pool.warm_up(2) == 4
        assert len(server.peers) == 4


async def test_warm_up_without_a_server_ends(any_loop: str, own_port: int) -> None:
    async with client_of(own_port) as client:
        assert await client.pool.warm_up(3) == 0


async def test_idle_connections_are_closed_by_the_client(any_loop: str) -> None:
    async with (
        serving(say_ok) as server,
        client_of(server.port, max_idle_time=0.1) as client,
    ):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await client.pool.warm_up(3)
        await until(lambda: server.num_open == 0)
        assert loop.time() - begin > 0.09
        assert client.pool.num_open == 0
        assert client.pool._idle_timer is None
        assert (await client.ask()).error is None


async def test_a_connection_in_use_is_no_idle_one(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.3)
        await peer.write(OK)
        await peer.gone()

    async with (
        serving(script) as server,
        client_of(server.port, max_idle_time=0.05) as client,
    ):
        got = await client.ask()
        assert (got.error, got.body) == (None, b"{}")


async def test_connection_closed_while_idle_is_not_used(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "_LOOK_AFTER_SECONDS", -1.0)
    async with serving(say_ok) as server, client_of(server.port) as client:
        for _ in range(20):
            assert (await client.ask()).error is None
            # Its end is in the kernel, and no turn of the loop has told of it.
            end_at_once(server.peers[-1])
            got = await client.ask()
            assert (got.error, got.num_taken) == (None, 1)


async def test_request_of_which_nothing_was_written_is_started_again(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "_LOOK_AFTER_SECONDS", 1e9)
    async with serving(say_ok) as server, client_of(server.port) as client:
        await client.pool.warm_up(3)
        await until(lambda: len(server.peers) == 3)
        for connection in client.pool._idle:
            # As if a reset had come that no turn of the loop has told of.
            connection._socket.shutdown(socket.SHUT_WR)  # type: ignore[union-attr]
        got = await client.ask()
        assert (got.error, got.body, got.num_taken) == (None, b"{}", 4)
        assert len(server.peers) == 4


async def test_many_dead_idle_connections_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pool, "_LOOK_AFTER_SECONDS", -1.0)
    async with (
        serving(say_ok) as server,
        client_of(server.port, max_connections=400) as client,
    ):
        await client.pool.warm_up(400)
        await until(lambda: len(server.peers) == 400)
        for peer in server.peers:
            end_at_once(peer)
        assert (await client.ask()).error is None


async def test_response_without_an_end_does_not_hold_its_connection(
    any_loop: str,
) -> None:
    """An exchange that has heard enough leaves; the connection waits, but not long."""

    class Leaving(Recorder):
        def receive_body(self, data: bytes) -> None:
            super().receive_body(data)
            self.connection.detach()  # type: ignore[union-attr]
            self.ended.set()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(OK.replace(b"{}", b"{").replace(b" 2", b" 9"))
        if peer.index == 1:
            await peer.write(b" " * 8)
            await say_ok(peer)
        await peer.gone()

    async with (
        serving(script) as server,
        client_of(server.port, max_idle_time=0.1) as client,
    ):
        for index in range(2):
            made = Leaving(client.template)
            client.pool.submit(made)
            await all_ended([made])
            assert made.connection is None
            await until(lambda: client.pool.num_open == client.pool.num_idle)
            assert client.pool.num_idle == index
