"""A bad peer is named, and hurts only itself."""

import asyncio
import os
import resource
import socket
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
from tests.transport.memory import resident_nbytes
from tests.transport.peers import GREETING, RawPeer, command, frame, ready
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    BusductError,
    FrameTooLargeError,
    HandshakeError,
    MalformedFrameError,
    PeerLostError,
    RemoteProtocolError,
)

LONG = b"\x02"
MIB = 1 << 20
SPOKEN_TO_END = GREETING + ready(b"PUSH")


def greeting(at: int, byte: bytes) -> bytes:
    return GREETING[:at] + byte + GREETING[at + len(byte) :]


async def with_an_honest_peer(
    backend: ModuleType,
    address: str,
    attack: Callable[[str], Awaitable[None]],
    **options: Any,
) -> Any:
    """Attack a PULL between two messages of an honest peer; return the PULL."""
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL, **options), ctx.socket(backend.PUSH)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        await tx.send(b"before")
        assert await rx.recv() == b"before"
        await attack(endpoint)
        await tx.send(b"after")
        assert await rx.recv() == b"after"
        # What came through shared memory may be taken before another end is read.
        await eventually(lambda: rx.statistics().num_peers == 1)
        return rx


async def say(endpoint: str, data: bytes) -> None:
    """Say something, and be cut off for it."""
    async with await RawPeer.connect(endpoint) as peer:
        await peer.send(data)
        await peer.until_closed()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", MalformedFrameError),
        (bytes(64), MalformedFrameError),
        (greeting(9, b"\0"), MalformedFrameError),
        (greeting(10, b"\x01"), RemoteProtocolError),
        (greeting(10, b"\x02"), RemoteProtocolError),
        (greeting(12, b"CURVE"), RemoteProtocolError),
        (greeting(12, b"PLAIN"), RemoteProtocolError),
        (greeting(12, b"NULLX"), RemoteProtocolError),
        (GREETING + frame(b"a message too early"), MalformedFrameError),
        (GREETING + frame(b"", 4), MalformedFrameError),
        (GREETING + frame(b"\x05READY\x0bSock", 4), MalformedFrameError),
        (GREETING + b"\x06" + (1 << 20).to_bytes(8, "big"), FrameTooLargeError),
        (GREETING + ready(b"PULL"), RemoteProtocolError),
        (GREETING + ready(b"DEALER"), RemoteProtocolError),
        (GREETING + ready(b"no such type"), RemoteProtocolError),
        (GREETING + command(b"READY"), RemoteProtocolError),
        (GREETING + command(b"ERROR", b"\x04mood"), RemoteProtocolError),
    ],
)
async def test_peer_that_cannot_be_spoken_to_is_named(
    backend: ModuleType, address: str, data: bytes, error: type[BusductError]
) -> None:
    rx = await with_an_honest_peer(backend, address, lambda e: say(e, data))
    assert [type(found) for found in rx.recent_errors()] == [error]
    statistics = rx.statistics()
    assert statistics.num_protocol_errors == 1
    assert statistics.num_handshakes_failed == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x08\x01x", MalformedFrameError),
        (b"\x80\x01x", MalformedFrameError),
        (b"\xff" * 20, MalformedFrameError),
        (frame(b"\x03FOO", 5), MalformedFrameError),
        (frame(b"\x09SHORT", 4), MalformedFrameError),
        (command(b"PING", b"\x00"), MalformedFrameError),
        (LONG + (1 << 62).to_bytes(8, "big"), FrameTooLargeError),
        (LONG + b"\xff" * 8, FrameTooLargeError),
        (b"\x06" + (1 << 62).to_bytes(8, "big"), FrameTooLargeError),
        (frame(bytes(600), 1) + frame(bytes(600), 0), FrameTooLargeError),
        (frame(b"", 1) * 100, FrameTooLargeError),
        (ready(b"PUSH"), MalformedFrameError),
        (command(b"ERROR", b"\x03bye"), RemoteProtocolError),
    ],
)
async def test_peer_that_breaks_the_protocol_is_named(
    backend: ModuleType, address: str, data: bytes, error: type[BusductError]
) -> None:
    rx = await with_an_honest_peer(
        backend,
        address,
        lambda e: say(e, SPOKEN_TO_END + data),
        max_message_bytes=1000,
        max_parts=16,
    )
    assert [type(found) for found in rx.recent_errors()] == [error]
    assert rx.statistics().num_protocol_errors == 1
    assert rx.statistics().num_handshakes_failed == 0


async def test_error_names_size_and_limit(backend: ModuleType) -> None:
    rx = await with_an_honest_peer(
        backend,
        "tcp://127.0.0.1:0",
        lambda e: say(e, SPOKEN_TO_END + LONG + (1 << 62).to_bytes(8, "big")),
    )
    (error,) = rx.recent_errors()
    assert (error.size, error.limit, error.unit) == (1 << 62, 1 << 30, "bytes")


async def test_error_names_the_place_in_the_stream(backend: ModuleType) -> None:
    sound = SPOKEN_TO_END + frame(b"sound")
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        await say(rx.bind("tcp://127.0.0.1:0"), sound + b"\x40")
        (error,) = rx.recent_errors()
        assert error.offset == len(sound)
        assert await rx.recv() == b"sound"


async def test_ten_million_empty_parts_cost_no_memory(
    backend: ModuleType, address: str
) -> None:
    async def flood(endpoint: str) -> None:
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            parts = frame(b"", 1) * 100_000
            before = resident_nbytes()
            for _ in range(100):
                await peer.send(parts)
            await peer.until_closed()
            assert resident_nbytes() - before < 16 * MIB

    rx = await with_an_honest_peer(backend, address, flood)
    (error,) = rx.recent_errors()
    assert isinstance(error, FrameTooLargeError)
    assert (error.limit, error.unit) == (1024, "parts")


async def test_message_that_is_only_announced_costs_no_memory(
    backend: ModuleType,
) -> None:
    async def announce(endpoint: str) -> None:
        peers = [await RawPeer.introduced(endpoint, b"PUSH") for _ in range(16)]
        before = resident_nbytes()
        for peer in peers:
            await peer.send(LONG + (1 << 29).to_bytes(8, "big") + bytes(64 << 10))
        await settle(100)
        # Less than a huge page for each.
        assert resident_nbytes() - before < 16 * MIB
        for peer in peers:
            await peer.close()

    rx = await with_an_honest_peer(backend, "tcp://127.0.0.1:0", announce)
    assert all(isinstance(error, PeerLostError) for error in rx.recent_errors())


@pytest.mark.parametrize("said", [b"", GREETING[:20], GREETING])
async def test_silent_peer_is_cut_off_at_the_deadline(
    backend: ModuleType, address: str, said: bytes
) -> None:
    rx = await with_an_honest_peer(
        backend, address, lambda e: say(e, said), handshake_timeout=0.05
    )
    # NB: where the machine is busy, the honest peer may have been too late as well, and
    # have come again.
    errors = rx.recent_errors()
    assert errors
    assert {type(error) for error in errors} == {HandshakeError}
    assert {error.peer for error in errors} == {rx.last_endpoint}
    assert rx.statistics().num_handshakes_failed == len(errors)
    assert rx.statistics().num_protocol_errors == 0


@pytest.mark.parametrize(
    "said",
    [
        frame(b"x" * 100)[:50],
        LONG + b"\0\0",
        frame(b"part one", 1),
        frame(b"part one", 1) + b"\0\x05cut",
    ],
)
async def test_peer_that_vanishes_amid_a_message_is_named(
    backend: ModuleType, address: str, said: bytes
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            await peer.send(frame(b"whole") + said)
            assert await rx.recv() == b"whole"
        (error,) = await eventually(rx.recent_errors)
        assert isinstance(error, PeerLostError)
        assert error.peer == endpoint
        await tx.send(b"after")
        assert await rx.recv() == b"after"
        assert rx.recv_multipart_nowait() is None


async def test_messages_before_a_violation_are_delivered(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        said = frame(b"one") + frame(b"two") + b"\xf0"
        await say(rx.bind(address), SPOKEN_TO_END + said)
        assert [await rx.recv(), await rx.recv()] == [b"one", b"two"]
        assert isinstance(rx.recent_errors()[0], MalformedFrameError)


async def test_incompatible_peer_is_told_why(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(GREETING + ready(b"DEALER"))
            assert b"\x05ERROR" in await peer.until_closed()


async def test_wrong_bytes_from_whom_we_connect_to_are_named(
    backend: ModuleType,
) -> None:
    async def speak_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(f"tcp://127.0.0.1:{port}")
        errors = await eventually(tx.recent_errors)
        assert isinstance(errors[0], MalformedFrameError)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"x")
        assert await rx.recv() == b"x"


async def test_ping_is_answered_with_its_context(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(address)
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            for context in (b"", b"abc", b"x" * 16):
                await peer.send(command(b"PING", b"\x00\x10" + context))
                assert await peer.receive() == (4, b"\x04PONG" + context)


async def test_commands_may_come_between_the_parts_of_a_message(
    backend: ModuleType,
) -> None:
    # libzmq sends its heartbeat when the time has come, wherever its stream is.
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            ping = command(b"PING", b"\x00\x10now")
            await peer.send(frame(b"one", 1) + ping + frame(b"two"))
            assert await rx.recv_multipart() == [b"one", b"two"]
            assert await peer.receive() == (4, b"\x04PONGnow")


async def test_unknown_commands_are_ignored(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            unknown = command(b"FUTURE", b"whatever") + command(b"PONG", b"unasked")
            await peer.send(unknown + frame(b"x"))
            assert await rx.recv() == b"x"
            assert rx.recent_errors() == []


async def test_peer_that_pings_and_never_reads_is_bounded(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    async def flood(endpoint: str) -> None:
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            pings = command(b"PING", b"\x00\x10" + b"x" * 16) * 10_000
            # The first of the answers go to the kernel's buffers.
            for _ in range(10):
                await peer.send(pings)
            before = resident_nbytes()
            for _ in range(40):
                await peer.send(pings)
            assert resident_nbytes() - before < 4 * MIB

    # A Unix socket: TCP would hold all of the flood before anybody reads it.
    await with_an_honest_peer(backend, ipc("a"), flood)


async def test_message_to_a_push_is_dropped(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PULL") as peer:
            await peer.send(frame(b"not for a push") * 5000)
            await tx.send(b"x")
            assert await peer.receive() == (0, b"x")
            assert tx.statistics().num_recv_queued == 0


async def test_last_sixteen_errors_are_kept(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        for _ in range(20):
            await say(endpoint, b"garbage")
        assert len(rx.recent_errors()) == 16
        assert rx.statistics().num_protocol_errors == 20


async def test_peers_that_come_and_go_cannot_pile_up_messages(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, max_peers=3)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        for visit in range(10):
            async with await RawPeer.connect(endpoint) as peer:
                await peer.send(SPOKEN_TO_END + frame(b"x") * 100)
                if visit >= 3:
                    await peer.until_closed()
                else:
                    await peer.receive()
            await eventually(lambda: rx.statistics().num_peers == 0)
        assert rx.statistics().num_recv_queued <= 300
        assert rx.statistics().num_refused >= 7


async def test_listener_rests_while_descriptors_are_exhausted(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        port = int(endpoint.rpartition(":")[2])
        caller = socket.socket()
        caller.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        fillers = []
        try:
            try:
                while True:
                    fillers.append(os.dup(0))
            except OSError:
                await asyncio.get_running_loop().sock_connect(
                    caller, ("127.0.0.1", port)
                )
            # Not a wait for anything: this is how long the processor must stay idle.
            spent = os.times().user + os.times().system
            await asyncio.sleep(0.3)
            assert os.times().user + os.times().system - spent < 0.15
            assert rx.statistics().num_accepted == 0
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await eventually(lambda: rx.statistics().num_accepted == 1)
        caller.close()
