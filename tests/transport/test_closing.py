"""Closing: what was accepted is sent within the linger, or known to be lost."""

import asyncio
import gc
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import RawPeer, frame
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError

MIB = 1 << 20


@pytest.mark.usefixtures("any_loop")
async def test_waiting_receivers_hear_that_their_socket_is_closed(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        waiting = [asyncio.ensure_future(rx.recv()) for _ in range(3)]
        await settle()
        rx.close()
        for future in waiting:
            with pytest.raises(ClosedError):
                await future


@pytest.mark.usefixtures("any_loop")
async def test_waiting_senders_hear_that_their_socket_is_closed(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=1)
        tx.send_nowait(b"fills it")
        waiting = [asyncio.ensure_future(tx.send(b"x")) for _ in range(3)]
        await settle()
        tx.close(linger=0)
        for future in waiting:
            with pytest.raises(ClosedError):
                await future
        assert tx.undelivered() == [[b"fills it"]]


async def test_waiting_receivers_hear_that_their_context_is_closed(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        waiting = asyncio.ensure_future(rx.recv())
        await settle()
        await ctx.aclose()
        with pytest.raises(ClosedError):
            await waiting


def calls_of(tx: Any, rx: Any) -> list[Any]:
    return [
        lambda: tx.send_nowait(b"x"),
        lambda: tx.send_multipart_nowait([b"x"]),
        lambda: tx.send_many_nowait([b"x"]),
        lambda: tx.send_blocking(b"x", timeout=0),
        lambda: tx.connect("tcp://127.0.0.1:1"),
        lambda: rx.bind("tcp://127.0.0.1:0"),
        lambda: rx.recv_nowait(),
        lambda: rx.recv_multipart_nowait(),
        lambda: rx.recv_many_nowait(),
        lambda: rx.recv_blocking(timeout=0),
    ]


async def test_each_call_of_a_closed_socket_is_a_closed_error(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        assert not rx.closed
        rx.close()
        tx.close()
        assert rx.closed
        for call in calls_of(tx, rx):
            with pytest.raises(ClosedError):
                call()
        with pytest.raises(ClosedError):
            await rx.recv()
        with pytest.raises(ClosedError):
            await tx.send(b"x")
        rx.close()


async def test_closed_context_closes_its_sockets(backend: ModuleType) -> None:
    ctx = backend.Context()
    rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
    assert not ctx.closed
    await ctx.aclose()
    await ctx.aclose()
    ctx.close()
    assert ctx.closed
    assert rx.closed
    for call in calls_of(tx, rx):
        with pytest.raises(ClosedError):
            call()
    with pytest.raises(ClosedError):
        ctx.socket(backend.PULL)


async def test_closed_socket_still_tells_of_itself(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        tx.send_nowait(b"x")
        tx.close(linger=0)
        assert tx.statistics().num_undelivered == 1
        assert tx.recent_errors() == []
        assert tx.undelivered() == [[b"x"]]


async def test_linger_sends_what_was_accepted(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, linger=None)
        tx.connect(rx.bind(address))
        message = bytes(MIB)
        for _ in range(30):
            await tx.send(message)
        tx.close()
        for _ in range(30):
            assert await rx.recv() == message
        await eventually(lambda: tx.statistics().num_send_queued == 0)
        assert tx.undelivered() == []


async def test_linger_waits_for_a_peer_that_comes_late(
    backend: ModuleType, ipc_dir: Path
) -> None:
    endpoint = f"ipc://{ipc_dir}/a"
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=None, reconnect_interval=0.005)
        tx.connect(endpoint)
        await tx.send(b"patience")
        tx.close()
        await eventually(lambda: tx.statistics().num_retries >= 2)
        rx = ctx.socket(backend.PULL)
        rx.bind(endpoint)
        assert await rx.recv() == b"patience"


async def test_without_linger_the_rest_is_undelivered(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        async with await RawPeer.introduced(tx.bind(address), b"PULL"):
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send(bytes(16 * MIB))
            await tx.send_multipart([b"a", b"b"])
            tx.close(linger=0)
            assert tx.statistics().num_undelivered == 2
            lost = tx.undelivered()
            assert len(lost[0][0]) == 16 * MIB
            assert lost[1:] == [[b"a", b"b"]]
            assert tx.undelivered() == []


async def test_after_its_linger_the_rest_is_undelivered(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0.05)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PULL"):
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send(bytes(16 * MIB))
            tx.close()
            assert tx.statistics().num_undelivered == 0
            await eventually(lambda: tx.statistics().num_undelivered == 1)


async def test_undelivered_keeps_no_more_than_the_marks(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.ROUTER, hwm_messages=2)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        for name in (b"a", b"b"):
            async with await RawPeer.introduced(endpoint, b"DEALER", name):
                await eventually(lambda: tx.statistics().num_peers == 1)
                await tx.send_multipart([name, bytes(16 * MIB)])
                await tx.send_multipart([name, b"x"])
                await eventually(lambda: tx.statistics().num_send_queued == 2)
            await eventually(lambda: tx.statistics().num_peers == 0)
        assert tx.statistics().num_undelivered == 4
        assert len(tx.undelivered()) == 2


def test_context_close_blocks_until_all_is_sent(
    backend: ModuleType, address: str
) -> None:
    with backend.Context() as rx_ctx:
        rx = rx_ctx.socket(backend.PULL)
        endpoint = rx.bind(address)
        with backend.Context() as tx_ctx:
            tx = tx_ctx.socket(backend.PUSH)
            tx.connect(endpoint)
            while not tx.statistics().num_peers:
                rx_ctx.run_once(0.01)
                tx_ctx.run_once(0.01)
            for index in range(100):
                tx.send_nowait(bytes((index,)))
        assert tx.undelivered() == []
        received = [rx.recv_blocking(timeout=20)[0] for _ in range(100)]
        assert received == list(range(100))


def test_context_close_ends_with_the_linger(backend: ModuleType) -> None:
    ctx = backend.Context()
    tx = ctx.socket(backend.PUSH, linger=0.1)
    tx.connect("tcp://127.0.0.1:1")
    tx.send_nowait(b"to nobody")
    start = time.monotonic()
    ctx.close()
    assert 0.09 <= time.monotonic() - start < 5
    assert tx.undelivered() == [[b"to nobody"]]


async def test_cancelled_aclose_goes_on_when_called_again(backend: ModuleType) -> None:
    ctx = backend.Context()
    tx = ctx.socket(backend.PUSH, linger=0.2)
    tx.connect("tcp://127.0.0.1:1")
    tx.send_nowait(b"x")
    closing = asyncio.ensure_future(ctx.aclose())
    await settle()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await ctx.aclose()
    assert tx.statistics().num_undelivered == 1


async def test_messages_that_came_before_the_peer_left_are_delivered(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, hwm_messages=50)
        endpoint = rx.bind(address)
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            await peer.send(b"".join(frame(bytes((n,))) for n in range(50)))
            await eventually(lambda: rx.statistics().num_recv_queued == 50)
        assert [(await rx.recv())[0] for _ in range(50)] == list(range(50))
        await eventually(lambda: rx.statistics().num_peers == 0)


async def test_closing_one_socket_leaves_the_others(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        async with ctx.socket(backend.PULL) as other:
            other.bind("tcp://127.0.0.1:0")
        with ctx.socket(backend.PULL) as another:
            another.bind("tcp://127.0.0.1:0")
        assert other.closed
        assert another.closed
        await tx.send(b"x")
        assert await rx.recv() == b"x"


async def test_dropped_socket_serves_until_its_context_is_closed(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"accepted")
        del tx
        gc.collect()
        assert await rx.recv() == b"accepted"


def test_closed_context_holds_no_descriptor(backend: ModuleType) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    ctx = backend.Context()
    rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
    tx.connect(rx.bind("tcp://127.0.0.1:0"))
    ctx.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_context_that_is_dropped_unclosed_warns(backend: ModuleType) -> None:
    holder = [backend.Context()]
    with pytest.warns(ResourceWarning, match="unclosed"):
        holder.clear()
