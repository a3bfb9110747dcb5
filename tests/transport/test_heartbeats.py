"""A peer that falls silent is given up, and one that only has nothing to say is not."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import GREETING, RawPeer, command, frame, ready
from tests.transport.waiting import eventually, turn_until

from busduct.errors import FullError, PeerLostError

# Long enough never to end a connection of these tests by itself.
NEVER = 1000.0


def ping(ttl_tenths: int, context: bytes = b"") -> bytes:
    """Encode a PING."""
    return command(b"PING", ttl_tenths.to_bytes(2, "big") + context)


async def next_ping(peer: RawPeer) -> bytes:
    """Return what the next PING carries."""
    flags, body = await peer.receive()
    assert flags == 4
    assert body.startswith(b"\x04PING")
    return body.removeprefix(b"\x04PING")


@asynccontextmanager
async def joined(rx: Any, address: str) -> Any:
    """Give the raw PUSH of a PULL that is bound at `address`."""
    async with await RawPeer.introduced(rx.bind(address), b"PUSH") as peer:
        # Not those that are up: by the time we look, it may have been given up.
        await eventually(lambda: rx.statistics().num_connected == 1)
        yield peer


def is_lost(rx: Any) -> bool:
    """Tell whether the only peer was given up; it must have been for its silence."""
    if rx.statistics().num_disconnected == 0:
        return False
    (error,) = rx.recent_errors()
    assert isinstance(error, PeerLostError)
    assert error.peer == rx.last_endpoint
    assert rx.statistics().num_protocol_errors == 0
    return True


async def test_pings_come_at_the_interval_and_carry_no_ttl(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.05, heartbeat_timeout=NEVER)
        async with joined(rx, address) as peer:
            begun = time.monotonic()
            for _ in range(4):
                assert await next_ping(peer) == b"\0\0"
            # The first may have been due already when the clock was read.
            assert time.monotonic() - begun >= 3 * 0.05 - 0.02


async def test_no_ping_comes_before_the_handshake_is_complete(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.001, handshake_timeout=0.1)
        async with await RawPeer.connect(rx.bind(address)) as peer:
            assert b"PING" not in await peer.until_closed()


@pytest.mark.parametrize(
    ("ttl", "tenths"),
    [(0.01, 1), (0.14, 1), (0.25, 3), (1.0, 10), (2.5, 25), (6553.5, 65535)],
)
async def test_ttl_is_told_in_tenths_of_a_second(
    backend: ModuleType, ttl: float, tenths: int
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.01, heartbeat_ttl=ttl)
        async with joined(rx, "tcp://127.0.0.1:0") as peer:
            assert await next_ping(peer) == tenths.to_bytes(2, "big")


async def test_ttl_and_timeout_without_an_interval_mean_nothing(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_timeout=0.001, heartbeat_ttl=0.1)
        probe = ctx.socket(backend.PULL, handshake_timeout=0.2)
        async with joined(rx, address) as peer:
            # Two hundred timeouts go by until this one's handshake is overdue.
            async with await RawPeer.connect(probe.bind("tcp://127.0.0.1:0")) as mute:
                await mute.until_closed()
            await peer.send(frame(b"x"))
            assert await rx.recv() == b"x"
            assert not is_lost(rx)


@pytest.mark.parametrize("timeout", [0.05, None])
async def test_peer_that_answers_no_ping_is_given_up(
    backend: ModuleType, any_loop: str, address: str, timeout: float | None
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(
            backend.PULL, heartbeat_interval=0.05, heartbeat_timeout=timeout
        )
        async with joined(rx, address) as peer:
            begun = time.monotonic()
            await peer.until_closed()
            # One interval until the PING, and the timeout behind it.
            assert time.monotonic() - begun >= 0.1 - 0.02
            await eventually(lambda: is_lost(rx))


async def test_timeout_counts_from_the_first_ping_that_is_not_answered(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.02, heartbeat_timeout=0.1)
        async with joined(rx, address) as peer:
            said = await peer.until_closed()
            assert is_lost(rx)
        # Later PINGs do not put off the end.
        assert said.count(b"\x04PING") <= 7


@pytest.mark.parametrize(
    "answer",
    [command(b"PONG"), frame(b"x"), command(b"NEWS")],
    ids=["PONG", "message", "unknown command"],
)
async def test_whatever_the_peer_says_is_a_sign_of_life(
    backend: ModuleType, address: str, answer: bytes
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.02, heartbeat_timeout=5.0)
        async with joined(rx, address) as peer:
            for _ in range(20):
                await next_ping(peer)
                await peer.send(answer)
            assert not is_lost(rx)
            assert rx.recent_errors() == []


async def test_part_of_a_message_is_a_sign_of_life(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.02, heartbeat_timeout=1.0)
        async with joined(rx, address) as peer:
            begun = time.monotonic()
            await peer.send(b"\0\xff")
            for _ in range(255):
                if time.monotonic() - begun < 2.0:
                    await next_ping(peer)
                await peer.send(b"x")
            assert await rx.recv() == b"x" * 255
            assert not is_lost(rx)


async def test_connector_connects_again_after_a_silent_peer(
    backend: ModuleType, any_loop: str
) -> None:
    taken: asyncio.Queue[RawPeer] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.put(RawPeer(reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    endpoint = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, backend.Context() as ctx:
        tx = ctx.socket(
            backend.PUSH,
            heartbeat_interval=0.05,
            # NB: the second one answers no PING, and is not to be given up meanwhile.
            heartbeat_timeout=1.0,
            reconnect_interval=0.01,
            linger=0,
        )
        monitor = tx.monitor()
        tx.connect(endpoint)
        async with await taken.get() as silent:
            await silent.introduce(b"PULL")
            kinds = [await anext(monitor) for _ in range(3)]
            assert [e.kind for e in kinds] == ["connected", "disconnected", "retried"]
            assert isinstance(kinds[1].error, PeerLostError)
            async with await taken.get() as again:
                await again.introduce(b"PULL")
                await tx.send(b"goes on")
                while (received := await again.receive()) == (4, b"\x04PING\0\0"):
                    pass
                assert received == (0, b"goes on")
                tx.close()


async def test_peer_that_is_silent_beyond_its_own_ttl_is_given_up(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        async with joined(rx, address) as peer:
            begun = time.monotonic()
            await peer.send(ping(1, b"who"))
            assert await peer.receive() == (4, b"\x04PONGwho")
            assert await peer.until_closed() == b""
            assert time.monotonic() - begun >= 0.1
            await eventually(lambda: is_lost(rx))


async def test_ttl_counts_from_the_last_thing_the_peer_said(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        async with joined(rx, address) as peer:
            await peer.send(ping(5))
            begun = time.monotonic()
            while time.monotonic() - begun < 1.1:
                await peer.send(frame(b"x"))
                said = time.monotonic()
                assert await rx.recv() == b"x"
            await peer.until_closed()
            assert time.monotonic() - said >= 0.5
            assert is_lost(rx)


async def test_ping_without_a_ttl_takes_back_the_one_before(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        probe = ctx.socket(backend.PULL, handshake_timeout=1.5)
        async with joined(rx, address) as peer:
            for ttl in (10, 0):
                await peer.send(ping(ttl))
                assert await peer.receive() == (4, b"\x04PONG")
            async with await RawPeer.connect(probe.bind("tcp://127.0.0.1:0")) as mute:
                await mute.until_closed()
            await peer.send(frame(b"x"))
            assert await rx.recv() == b"x"
            assert not is_lost(rx)


async def test_ttl_before_the_handshake_is_complete_ends_the_connection_too(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, handshake_timeout=50.0)
        monitor = rx.monitor()
        async with await RawPeer.connect(rx.bind(address)) as peer:
            await peer.send(GREETING + ping(1))
            await peer.until_closed()
        await eventually(lambda: rx.statistics().num_handshakes_failed == 1)
        kinds = []
        while (event := monitor.recv_nowait()) is not None:
            kinds.append(event.kind)
        assert kinds == ["listening", "accepted", "handshake_failed"]


async def test_back_pressure_is_not_silence(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(
            backend.PULL,
            hwm_messages=1,
            heartbeat_interval=0.02,
            heartbeat_timeout=0.5,
        )
        probe = ctx.socket(backend.PULL, handshake_timeout=1.0)
        async with joined(rx, address) as peer:
            # Behind the first, nothing is read: the inbox is full.
            messages = ping(5) + frame(b"a" * 1000) * 1000
            sending = asyncio.create_task(peer.send(messages))
            async with await RawPeer.connect(probe.bind("tcp://127.0.0.1:0")) as mute:
                await mute.until_closed()
            assert not is_lost(rx)
            for _ in range(1000):
                assert await rx.recv() == b"a" * 1000
            await sending


async def test_bytes_that_came_while_the_owner_was_away_are_heard(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.02, heartbeat_timeout=1.0)
        async with joined(rx, address) as peer:
            await next_ping(peer)
            await peer.send(ping(10) + frame(b"said in time"))
            away = time.monotonic() + 1.5
            while time.monotonic() < away:
                pass
            assert await rx.recv() == b"said in time"
            assert not is_lost(rx)


async def test_peer_that_reads_nothing_more_is_given_up(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, heartbeat_interval=0.05, hwm_messages=4, linger=0)
        endpoint = tx.bind(address)
        async with await RawPeer.connect(endpoint) as peer:
            peer._reader._transport.pause_reading()
            await peer.send(GREETING + ready(b"PULL"))
            await eventually(lambda: tx.statistics().num_connected == 1)
            # The PING is stuck behind this for ever.
            while tx.statistics().num_disconnected == 0:
                try:
                    tx.send_nowait(bytes(1 << 20))
                except FullError:
                    await asyncio.sleep(0)
            assert is_lost(tx)


async def test_peer_that_reads_slowly_is_not_given_up(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    loop = asyncio.get_running_loop()
    async with backend.Context() as ctx:
        tx = ctx.socket(
            backend.PUSH,
            # NB: a PING that went before the message would never be answered.
            heartbeat_interval=0.5,
            # What holds up this process holds up the peer as well.
            heartbeat_timeout=1.0,
            send_buffer_bytes=16384,
            linger=0,
        )
        path = tx.bind(ipc("a")).removeprefix("ipc://")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.setblocking(False)
            await loop.sock_connect(peer, path)
            await loop.sock_sendall(peer, GREETING + ready(b"PULL"))
            await eventually(lambda: tx.statistics().num_peers == 1)
            begun = due = loop.time()
            # It takes longer than the timeout, and the peer says nothing.
            await tx.send(bytes(400_000))
            while tx.statistics().num_messages_sent == 0:
                due += 0.01
                await eventually(lambda at=due: loop.time() >= at)
                assert await loop.sock_recv(peer, 2000)
            assert loop.time() - begun > 1.5
            assert tx.statistics().num_disconnected == 0


def test_blocking_owner_gives_a_silent_peer_up(
    backend: ModuleType, address: str
) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        # So long that the handshake, in which this process may be held up, is over.
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.5)
        tx = other.socket(backend.PUSH)
        tx.connect(rx.bind(address))

        def both_up() -> bool:
            other.run_once(0)
            return tx.statistics().num_peers == 1 and rx.statistics().num_peers == 1

        turn_until(ctx, both_up)
        # The other context stands still from here on.
        turn_until(ctx, lambda: is_lost(rx))


async def test_closing_ends_the_heartbeat(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.001, heartbeat_timeout=5.0)
        async with joined(rx, address) as peer:
            await next_ping(peer)
            await peer.send(ping(1))
            rx.close()
            await peer.until_closed()
            await eventually(lambda: rx.statistics().num_peers == 0)
            assert rx.recent_errors() == []
