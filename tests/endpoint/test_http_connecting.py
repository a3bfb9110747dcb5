"""Connections that are not made, or gone, and when a request is started again."""

import asyncio
import gc
import socket
from collections.abc import Callable

import pytest
from tests.endpoint.http_exchange import client_of
from tests.endpoint.http_server import (
    Peer,
    end_at_once,
    replying,
    say_ok,
    serving,
)
from tests.processes.conditions import until

from busduct.endpoint._http import _pool
from busduct.endpoint._http._protocol import Connection

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_refused_connection_is_an_error_after_its_retries(
    any_loop: str, own_port: int
) -> None:
    async with client_of(own_port, max_retries=2) as client:
        waiting = [client.start() for _ in range(10)]
        for each in waiting:
            await asyncio.wait_for(each.ended.wait(), 20)
            assert each.error is not None
            assert each.error.error_type == "connection"
            begin = f"cannot connect to http://127.0.0.1:{own_port}: "
            assert each.error.error_message.startswith(begin)
            assert each.num_attempts == 3


async def test_request_waits_for_a_server_that_comes_back(
    any_loop: str, own_port: int
) -> None:
    async with client_of(own_port, max_retries=100) as client:
        asked = client.start()
        await until(lambda: asked.num_attempts)
        async with serving(say_ok, port=own_port):
            await asyncio.wait_for(asked.ended.wait(), 20)
        assert (asked.error, asked.body, asked.num_taken) == (None, b"{}", 1)


async def test_unknown_host_is_an_error(any_loop: str) -> None:
    async with client_of(80, host="no-such-host.invalid", max_retries=0) as client:
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "connection"
        assert "no-such-host.invalid" in got.error.error_message


async def test_the_first_address_that_accepts_is_used_and_tried_first_next(
    any_loop: str, own_port: int
) -> None:
    async with serving(say_ok) as server, client_of(server.port) as client:
        connector = client.pool._connector
        dead = (socket.AF_INET, ("127.0.0.1", own_port))
        live = (socket.AF_INET, ("127.0.0.1", server.port))
        connector._addresses = [dead, live]
        got = await client.ask()
        assert (got.error, got.num_attempts) == (None, 0)
        assert connector._addresses == [live, dead]


async def test_request_written_to_a_connection_just_closed_is_not_repeated(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint may have read it: that is for the caller to decide."""
    monkeypatch.setattr(_pool, "_LOOK_AFTER_SECONDS", 1e9)
    async with (
        serving(say_ok) as server,
        client_of(server.port, max_retries=5) as client,
    ):
        assert (await client.ask()).error is None
        # Its end is in the kernel, and no turn of the loop has told of it.
        end_at_once(server.peers[0])
        got = await client.ask()
        assert got.error is not None
        assert got.error.error_type == "connection"
        assert (got.num_taken, len(server.peers)) == (1, 1)
        assert (await client.ask()).error is None


async def test_connections_that_are_gone_leave_no_cycles(any_loop: str) -> None:
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    gc.collect()
    gc.disable()
    try:
        async with serving(replying(reply)) as server, client_of(server.port) as client:
            for _ in range(20):
                assert (await client.ask()).error is None
            await until(lambda: not client.pool._leaving)
            left = [each for each in gc.get_objects() if isinstance(each, Connection)]
            assert len(left) <= 1
    finally:
        gc.enable()


async def test_connecting_ends_at_its_timeout(any_loop: str) -> None:
    # Nobody accepts: the second connection finds the backlog full.
    with socket.socket() as listener, socket.socket() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        other.connect(listener.getsockname())
        port = listener.getsockname()[1]
        async with client_of(port, timeout=0.2, max_retries=0) as client:
            got = await client.ask()
            assert got.error is not None
            assert got.error.error_type == "connection"
            assert got.error.error_message.endswith("timed out after 0.2 s")


async def test_one_failed_connect_among_open_ones_fails_nothing(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        if peer.index:
            await say_ok(peer)
        await peer.gone()

    async with (
        serving(script) as server,
        client_of(server.port, max_retries=0) as client,
    ):
        stalled = client.start()
        await until(lambda: stalled.connection)
        opening = client.pool._connector.open
        num_failures = 0

        async def fail_once(make: Callable[[], Connection]) -> Connection:
            nonlocal num_failures
            num_failures += 1
            if num_failures == 1:
                msg = "no more local ports"
                raise OSError(msg)
            return await opening(make)

        monkeypatch.setattr(client.pool._connector, "open", fail_once)
        got = await client.ask()
        assert (got.error, got.body, num_failures) == (None, b"{}", 2)
