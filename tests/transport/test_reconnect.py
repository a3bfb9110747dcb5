"""A connection that is lost comes back, and nothing accepted is lost with it."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import GREETING, RawPeer, ready
from tests.transport.waiting import eventually

FAST = {"reconnect_interval": 0.005, "reconnect_max": 0.02}


async def test_connect_may_come_before_bind(backend: ModuleType, ipc_dir: str) -> None:
    endpoint = f"ipc://{ipc_dir}/a"
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, **FAST)
        tx.connect(endpoint)
        await tx.send(b"early")
        await eventually(lambda: tx.statistics().num_retries >= 3)
        rx.bind(endpoint)
        assert await rx.recv() == b"early"


async def test_sender_finds_a_receiver_that_was_restarted(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, **FAST)
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        for text in (b"one", b"two", b"three"):
            await tx.send(text)
            assert await rx.recv() == text
            rx.close()
            await eventually(lambda: tx.statistics().num_peers == 0)
            rx = ctx.socket(backend.PULL)
            rx.bind(endpoint)
        assert tx.statistics().num_disconnected == 3


async def test_nothing_is_written_to_a_peer_whose_end_has_come(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, **FAST)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        await tx.send(b"one")
        assert await rx.recv() == b"one"
        rx.close()
        tx.send_nowait(b"two")
        successor = ctx.socket(backend.PULL)
        successor.bind(endpoint)
        assert await successor.recv() == b"two"


async def test_receiver_finds_a_sender_that_was_restarted(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, **FAST)
        tx = ctx.socket(backend.PUSH)
        endpoint = tx.bind(address)
        rx.connect(endpoint)
        for text in (b"one", b"two"):
            await tx.send(text)
            assert await rx.recv() == text
            tx.close()
            await eventually(lambda: rx.statistics().num_peers == 0)
            tx = ctx.socket(backend.PUSH)
            tx.bind(endpoint)


async def test_messages_of_a_lost_peer_go_to_the_next_in_order(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        endpoint = tx.bind(address)
        stalled = await RawPeer.introduced(endpoint, b"PULL")
        await eventually(lambda: tx.statistics().num_peers == 1)
        # The first fills the kernel's buffers, so that none is written to its end.
        messages = [bytes(16 << 20)] + [str(n).encode() for n in range(50)]
        for message in messages:
            tx.send_nowait(message)
        await eventually(lambda: tx.statistics().num_send_queued == len(messages))
        await stalled.close()
        await eventually(lambda: tx.statistics().num_peers == 0)
        assert tx.statistics().num_send_queued == len(messages)
        rx.connect(endpoint)
        for message in messages:
            assert await rx.recv() == message
        assert tx.undelivered() == []


async def test_messages_of_a_lost_peer_go_to_one_that_is_there(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        stalled = await RawPeer.introduced(endpoint, b"PULL")
        await eventually(lambda: tx.statistics().num_peers == 1)
        tx.send_nowait(bytes(16 << 20))
        tx.send_nowait(b"behind it")
        rx.connect(endpoint)
        await eventually(lambda: tx.statistics().num_peers == 2)
        await stalled.close()
        assert len(await rx.recv()) == 16 << 20
        assert await rx.recv() == b"behind it"


async def test_peer_that_closes_at_once_is_tried_again(backend: ModuleType) -> None:
    num_visits = 0

    async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_visits
        num_visits += 1
        writer.transport.abort()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, **FAST)
        tx.connect(f"tcp://127.0.0.1:{port}")
        await eventually(lambda: num_visits >= 3)
        assert tx.statistics().num_peers == 0
        assert tx.statistics().num_handshakes_failed >= 2


async def test_peer_is_greeted_anew_after_each_loss(backend: ModuleType) -> None:
    greetings: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with RawPeer(reader, writer) as peer:
            await peer.send(GREETING + ready(b"PULL"))
            greetings.append(await reader.readexactly(64))
            await peer.receive()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, **FAST)
        tx.connect(f"tcp://127.0.0.1:{port}")
        await eventually(lambda: len(greetings) >= 3)
        assert set(greetings) == {GREETING}


@pytest.mark.usefixtures("any_loop")
async def test_attempts_are_put_off_ever_longer(
    backend: ModuleType, ipc_dir: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.02, reconnect_max=10.0)
        tx.connect(f"ipc://{ipc_dir}/nobody")
        loop = asyncio.get_running_loop()
        start = loop.time()
        await eventually(lambda: tx.statistics().num_retries >= 5)
        # 20 + 40 + 80 + 160 ms, less a quarter at most.
        assert loop.time() - start >= 0.3 * 0.74
