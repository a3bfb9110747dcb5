"""Links and sockets that end while something of theirs is still under way."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import ModuleType

import pytest
from tests.transport.peers import GREETING, RawPeer, command, frame, ready
from tests.transport.waiting import eventually, settle

MIB = 1 << 20
PING = command(b"PING", b"\x00\x10")
# More links than Python would nest calls for.
NUM_PEERS = 400


async def test_peer_that_hangs_up_with_answers_owed_is_forgotten(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        endpoint = tx.bind(address)
        leaver = await RawPeer.introduced(endpoint, b"PULL")
        await eventually(lambda: tx.statistics().num_peers == 1)
        # Answers cannot be written amid a message, and this one gets stuck.
        await tx.send(bytes(16 * MIB))
        await leaver.send(PING * 1000)
        await settle()
        await leaver.close()
        await eventually(lambda: tx.statistics().num_peers == 0)
        async with await RawPeer.introduced(endpoint, b"PULL") as other:
            assert await other.receive() == (0, bytes(16 * MIB))


async def test_routing_id_is_free_once_its_holder_hung_up_with_messages_unread(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx, AsyncExitStack() as peers:
        router = ctx.socket(backend.ROUTER, hwm_messages=2)
        endpoint = router.bind(address)
        first = await RawPeer.introduced(endpoint, b"DEALER", b"x")
        await first.send(frame(b"last") * 9)
        await eventually(lambda: router.statistics().num_recv_queued == 2)

        early = await peers.enter_async_context(await RawPeer.connect(endpoint))
        await early.send(GREETING + ready(b"DEALER", b"x"))
        assert b"ERROR" in await early.until_closed()
        assert router.statistics().num_refused == 1

        await first.close()
        second = await RawPeer.introduced(endpoint, b"DEALER", b"x")
        await peers.enter_async_context(second)
        await eventually(lambda: router.statistics().num_connected == 2)
        assert router.statistics().num_peers == 1
        for _ in range(9):
            assert await router.recv_multipart() == [b"x", b"last"]
        await second.send(frame(b"next"))
        assert await router.recv_multipart() == [b"x", b"next"]
        await router.send_multipart([b"x", b"answer"])
        assert await second.receive() == (0, b"answer")
        assert router.statistics().num_refused == 1


async def test_claim_to_a_routing_id_while_its_holder_ends_a_closing_router(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, linger=None)
        endpoint = router.bind(ipc("r"))
        holder = await RawPeer.introduced(endpoint, b"DEALER", b"x")
        claimant = await RawPeer.connect(endpoint)
        await claimant.send(GREETING)
        await eventually(lambda: router.statistics().num_peers == 1)
        await settle()
        await router.send_multipart([b"x", bytes(16 * MIB)])
        router.close()
        await claimant.send(ready(b"DEALER", b"x"))
        await holder.close()
        await claimant.until_closed()
        await claimant.close()
        await ctx.aclose()
        assert router.statistics().num_undelivered == 1
        assert router.statistics().num_peers == 0


@pytest.mark.parametrize("linger", [0, 30])
async def test_socket_of_many_peers_is_closed(
    backend: ModuleType, ipc: Callable[[str], str], linger: float
) -> None:
    async with backend.Context() as ctx, AsyncExitStack() as peers:
        rx = ctx.socket(backend.PULL, linger=linger)
        endpoint = rx.bind(ipc("p"))
        for _ in range(NUM_PEERS):
            peer = await RawPeer.introduced(endpoint, b"PUSH")
            await peers.enter_async_context(peer)
        await eventually(lambda: rx.statistics().num_peers == NUM_PEERS)
        rx.close()
        await ctx.aclose()
        assert rx.statistics().num_peers == 0


@pytest.mark.parametrize("kind", ["DEALER", "ROUTER"])
async def test_closing_socket_sends_all_while_its_peer_goes_on_sending(
    backend: ModuleType, ipc: Callable[[str], str], kind: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind), hwm_messages=4, linger=None)
        peer = await RawPeer.introduced(tx.bind(ipc("d")), b"DEALER", b"x")
        # Reads end amid a frame, as they do when there is much to read.
        flood = frame(b"unwanted") * 101
        await peer.send(flood[:-5])
        await eventually(lambda: tx.statistics().num_recv_queued == 4)
        # Part of what was read and held back is parsed by this.
        for _ in range(3):
            await tx.recv_multipart()
        for _ in range(4):
            message = [b"x", bytes(MIB)] if kind == "ROUTER" else [bytes(MIB)]
            tx.send_multipart_nowait(message)
        tx.close()
        await peer.send(flood[-5:] + flood)
        await settle()
        for _ in range(4):
            assert await peer.receive() == (0, bytes(MIB))
        await peer.until_closed()
        await peer.close()
        assert tx.recent_errors() == []
        assert tx.statistics().num_undelivered == 0


@pytest.mark.parametrize("hwm_messages", [1, 2, 5])
async def test_ping_behind_messages_that_wait_is_answered_when_they_are_taken(
    backend: ModuleType, address: str, hwm_messages: int
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, hwm_messages=hwm_messages)
        async with await RawPeer.introduced(rx.bind(address), b"PUSH") as peer:
            await peer.send(frame(b"a") * 6 + command(b"PING", b"\x00\x10here"))
            for _ in range(6):
                assert await rx.recv() == b"a"
            assert await peer.receive() == (4, b"\x04PONGhere")


async def test_ping_amid_a_message_leaves_it_whole(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.DEALER)
        async with await RawPeer.introduced(rx.bind(address), b"DEALER") as peer:
            for piece in (frame(b"one", 1), PING, frame(b"two", 1), PING):
                await peer.send(piece)
                await settle()
            assert await peer.receive() == (4, b"\x04PONG")
            assert await peer.receive() == (4, b"\x04PONG")
            await peer.send(frame(b"three"))
            assert await rx.recv_multipart() == [b"one", b"two", b"three"]
            assert rx.recent_errors() == []
