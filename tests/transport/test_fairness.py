"""Peers take turns, and so do tasks that wait."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

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


async def take_singly(rx: Any, num_messages: int) -> None:
    for _ in range(num_messages):
        await rx.recv()


async def take_leases(rx: Any, num_messages: int) -> None:
    for _ in range(num_messages):
        await rx.recv_multipart_lease()


async def take_lists(rx: Any, num_messages: int) -> None:
    while num_messages:
        num_messages -= len(await rx.recv_many(max_n=64))


async def take_batches(rx: Any, num_messages: int) -> None:
    async for batch in rx.batches(max_n=64):
        num_messages -= len(batch)
        if not num_messages:
            return


@pytest.mark.parametrize("nbytes", [0, 2000])
@pytest.mark.parametrize(
    "take",
    [take_singly, take_leases, take_lists, take_batches],
    ids=lambda f: f.__name__,
)
async def test_task_that_only_receives_gives_way(
    backend: ModuleType, take: Callable[[Any, int], Awaitable[None]], nbytes: int
) -> None:
    num_messages, num_turns = 50_000 if nbytes == 0 else 8_000, 0

    async def count_turns() -> None:
        nonlocal num_turns
        while True:
            num_turns += 1
            await asyncio.sleep(0)

    async with backend.Context() as ctx:
        options = {"hwm_messages": num_messages, "hwm_bytes": 1 << 30}
        tx = ctx.socket(backend.PUSH, **options)
        rx = ctx.socket(backend.PULL, **options)
        tx.connect(rx.bind("inproc://a"))
        await tx.send_many([bytes(nbytes)] * num_messages)
        counting = asyncio.ensure_future(count_turns())
        await asyncio.sleep(0)
        first = num_turns
        await take(rx, num_messages)
        taken = num_turns - first
        counting.cancel()
    cost = num_messages * (nbytes + 96)
    assert 1 <= taken <= num_messages // 2048 + cost // (4 << 20)
