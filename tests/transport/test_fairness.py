"""Peers take turns, and so do tasks that wait."""

import asyncio
import itertools
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, frame
from tests.transport.waiting import eventually, settle

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_peers_take_turns_message_by_message(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with (
            await RawPeer.introduced(endpoint, b"PUSH") as left,
            await RawPeer.introduced(endpoint, b"PUSH") as right,
        ):
            await left.send(frame(b"left") * 10)
            await right.send(frame(b"right") * 10)
            await eventually(lambda: rx.statistics().num_recv_queued == 20)
            received = [await rx.recv() for _ in range(20)]
        assert all(one != two for one, two in itertools.pairwise(received))


async def test_flooding_peer_does_not_shut_out_another(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with (
            await RawPeer.introduced(endpoint, b"PUSH") as flood,
            await RawPeer.introduced(endpoint, b"PUSH") as quiet,
        ):
            flooding = asyncio.ensure_future(flood.send(frame(b"flood") * 100_000))
            await eventually(lambda: rx.statistics().num_recv_queued >= 1000)
            await quiet.send(frame(b"quiet"))
            await eventually(lambda: rx.statistics().num_recv_queued >= 1001)
            assert b"quiet" in [await rx.recv() for _ in range(2)]
            flooding.cancel()


async def test_waiting_receivers_are_served_in_order(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        waiting = [asyncio.ensure_future(rx.recv()) for _ in range(5)]
        await settle()
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        for index in range(5):
            await tx.send(bytes((index,)))
        assert await asyncio.gather(*waiting) == [b"\0", b"\1", b"\2", b"\3", b"\4"]
