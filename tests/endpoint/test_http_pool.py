"""The pool starts requests in order, on few connections, and only on live ones."""

import asyncio
import socket

import pytest
from tests.endpoint.http_exchange import Client, Recorder, all_ended, client_of
from tests.endpoint.http_server import (
    OK,
    Peer,
    say_ok,
    serving,
)
from tests.processes.conditions import until

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_requests_start_in_the_order_submitted(any_loop: str) -> None:
    arrived: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            arrived.append(await peer.request())
            await peer.write(OK)

    async with (
        serving(script) as server,
        client_of(server.port, max_connections=1) as client,
    ):
        bodies = [b"%d" % number for number in range(200)]
        await all_ended([client.start(body) for body in bodies])
        assert arrived == bodies
        assert len(server.peers) == 1


async def test_requests_are_taken_in_order_over_many_connections(any_loop: str) -> None:
    taken: list[bytes] = []

    class Noting(Recorder):
        def take(self) -> bytes | None:
            taken.append(self._request)
            return super().take()

    async with (
        serving(say_ok) as server,
        client_of(server.port, max_connections=7) as client,
    ):
        await client.pool.warm_up(7)
        await until(lambda: server.num_open == 7)
        started = [Noting(client.template, b"%d" % number) for number in range(100)]
        for each in started:
            client.pool.submit(each)
        await all_ended(started)
        assert taken == [each._request for each in started]
        assert server.most_open == 7


async def test_the_connection_used_last_is_used_next(any_loop: str) -> None:
    used: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            used.append(peer.index)
            await peer.write(OK)

    async with serving(script) as server, client_of(server.port) as client:
        await client.pool.warm_up(4)
        for _ in range(5):
            await client.ask()
        assert len(set(used)) == 1
        assert client.pool.num_idle == 4


async def test_connects_are_bounded_at_a_time(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_now = most = 0

    async with (
        serving(say_ok) as server,
        client_of(server.port, max_connections=50, max_concurrent_connects=3) as client,
    ):
        connector = client.pool._connector
        connect = connector._connect

        async def counted(*where: object) -> socket.socket:
            nonlocal num_now, most
            num_now += 1
            most = max(most, num_now)
            try:
                await asyncio.sleep(0)
                return await connect(*where)  # type: ignore[arg-type]
            finally:
                num_now -= 1

        monkeypatch.setattr(connector, "_connect", counted)
        assert await client.pool.warm_up(50) == 50
        assert most == 3
        assert client.pool.num_idle == 50


async def test_cancelled_request_that_waits_is_skipped(any_loop: str) -> None:
    async with (
        serving(say_ok) as server,
        client_of(server.port, max_connections=1) as client,
    ):
        started = [client.start(b"%d" % number) for number in range(5)]
        started[1].is_cancelled = started[2].is_cancelled = True
        await all_ended([started[0], *started[3:]])
        assert [each.num_taken for each in started] == [1] * 5
        assert started[1].status == 0


async def test_connection_of_a_skipped_request_stays(any_loop: str) -> None:
    async with serving(say_ok) as server, client_of(server.port) as client:
        skipped = client.start()
        skipped.is_cancelled = True
        await until(lambda: client.pool.num_idle)
        assert skipped.num_taken == 1
        assert client.pool.num_waiting == 0


async def test_abort_closes_the_connection_and_makes_room(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index:
            await peer.write(OK)
        await peer.gone()
        gone.append(peer.index)

    gone: list[int] = []
    async with (
        serving(script) as server,
        client_of(server.port, max_connections=1) as client,
    ):
        first, second = client.start(), client.start()
        await until(lambda: first.connection is not None)
        first.connection.abort()  # type: ignore[union-attr]
        await until(lambda: gone == [0])
        await asyncio.wait_for(second.ended.wait(), 20)
        assert second.error is None
        assert not first.ended.is_set()


async def test_paused_pool_starts_and_reads_nothing(any_loop: str) -> None:
    async with serving(say_ok) as server, client_of(server.port) as client:
        await client.ask()
        first = client.start()
        client.pool.pause()
        second = client.start()
        await asyncio.sleep(0.05)
        assert (first.status, second.num_taken) == (0, 0)
        client.pool.resume()
        await all_ended([first, second])
        client.pool.pause()
        client.pool.pause()
        client.pool.resume()
        assert (await client.ask()).error is None


async def test_connection_that_ends_a_response_while_paused_is_read_again(
    any_loop: str,
) -> None:
    class Pausing(Recorder):
        def complete(self) -> None:
            client.pool.pause()
            super().complete()

    async with serving(say_ok) as server, client_of(server.port) as client:
        made = Pausing(client.template)
        client.pool.submit(made)
        await all_ended([made])
        client.pool.resume()
        assert (await client.ask()).error is None
        assert len(server.peers) == 1


async def test_close_ends_whatever_goes_on(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with serving(script) as server:
        async with client_of(server.port, max_connections=2) as client:
            started = [client.start() for _ in range(5)]
            await until(lambda: started[1].connection)
            connections = list(client.pool._open)
        # By then, not some time after.
        assert all(each._transport is None for each in connections)
        assert not any(each.ended.is_set() for each in started)
        await until(lambda: server.num_open == 0)
        async with client_of(server.port) as client:
            await abandon_connecting(client)


async def abandon_connecting(client: Client) -> None:
    client.start()
    await asyncio.sleep(0)
