"""Clients that say what no client says hurt only themselves."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.directory_parties import Parties, endpoint_of, member_id, parties
from tests.transport.peers import GREETING, RawPeer, frame, ready
from tests.transport.waiting import PATIENCE_SECONDS, eventually

from busduct.fmq._directory import _wire
from busduct.fmq._directory._wire import (
    Refused,
    Register,
    Watch,
    encode,
    parse_answer,
)

NONSENSE = [
    frame(b""),
    frame(b"\x20"),
    frame(b"\x20\x01"),
    frame(b"\xff" * 100),
    frame(b"\x20\x01" + b"\x91" * 5000),
    frame(encode(Watch(1, "prompts")), 1) + frame(b"more"),
    frame(encode(Watch(1, "prompts"))[:1] + b"\x02\x92\x01\xa1q"),
    frame(encode(Register(1, "prompts", b"short", "ipc:///run/d"))),
    frame(encode(Register(1, "prompts", member_id(1), "ipc:///run/d"))),
]


async def read_answer(peer: RawPeer) -> object:
    """Return what a server said to a peer."""
    flags, body = await peer.receive()
    while flags & 4:
        flags, body = await peer.receive()
    return parse_answer([body])


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_is_refused_and_costs_nobody_else_anything(
    backend: ModuleType, any_loop: str, address: str, nonsense: bytes
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1, 2)
        those.watch()
        await those.all_told()
        async with await RawPeer.introduced(address, b"DEALER") as peer:
            for turn in range(3):
                await peer.send(nonsense)
                assert isinstance(await read_answer(peer), Refused)
                assert those.members[1].num_refused == turn + 1
            await those.registered(3)
            await those.all_told()


async def test_flood_of_nonsense_stops_nobody(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1)
        those.watch()
        async with await RawPeer.introduced(address, b"DEALER") as peer:
            # It reads no answer: those that wait for it are dropped.
            await peer.send(frame(b"nonsense") * 20_000)
            await those.registered(2)
            await those.all_told()
            await eventually(lambda: those.members[1].num_refused == 20_000)


async def test_frame_beyond_the_limit_ends_its_connection(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1)
        async with await RawPeer.introduced(address, b"DEALER") as peer:
            await peer.send(b"\2" + (_wire.MAX_MESSAGE_BYTES + 1).to_bytes(8, "big"))
            await peer.until_closed()
        await those.registered(2)


class HastyPeer:
    """Says all that it has to say without listening, from code that holds the loop."""

    def __init__(self, address: str, member: int) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._sock = socket.create_connection((host, int(port)))
        hello = Register(1, "prompts", member_id(member), endpoint_of(address, member))
        introduction = GREETING + ready(b"DEALER", b"always the same")
        self._sock.sendall(introduction + frame(encode(hello)) * 3)

    def close(self) -> None:
        """Be gone at once."""
        self._sock.close()


def hold_loop_until(condition: Callable[[], bool]) -> None:
    """Let nothing run but the context's thread."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.001)


@asynccontextmanager
async def threaded_server(
    backend: ModuleType, address: str
) -> AsyncIterator[tuple[Parties, Callable[[], Any]]]:
    """Give a directory whose socket goes on while the loop is held, and its counts."""
    async with backend.Context(io_thread=True) as context:
        those = Parties(context, address)
        await those.registered(1)
        server = those.members[1]._server
        assert server is not None
        yield those, server._socket.statistics
        those.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("address", ["tcp"], indirect=True)
async def test_member_whose_farewell_is_heard_first_is_none(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with threaded_server(backend, address) as (those, counts):
        peer = HastyPeer(address, 2)
        hold_loop_until(lambda: counts().num_recv_queued == 3)
        peer.close()
        hold_loop_until(lambda: counts().num_disconnected == 1)
        await those.registered(3)
        those.watch()
        await those.all_told()


@pytest.mark.parametrize("address", ["tcp"], indirect=True)
async def test_member_that_comes_back_does_not_go_by_its_former_farewell(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with threaded_server(backend, address) as (those, counts):
        those.watch()
        first = HastyPeer(address, 2)
        await eventually(lambda: those.told[0] and len(those.told[0][-1]) == 2)
        first.close()
        hold_loop_until(lambda: counts().num_disconnected == 1)
        second = HastyPeer(address, 2)
        hold_loop_until(lambda: counts().num_recv_queued == 3)
        await those.registered(3)
        await eventually(lambda: member_id(3) in those.told[0][-1])
        assert member_id(2) in those.told[0][-1]
        second.close()
        await those.all_told()


async def test_watcher_that_never_reads_holds_up_no_other(
    backend: ModuleType, ipc_dir: Path
) -> None:
    address = f"ipc://{ipc_dir}/queue"
    async with parties(backend, address) as those:
        await those.registered(1)
        those.watch()
        async with await RawPeer.introduced(address, b"DEALER") as peer:
            await peer.send(frame(encode(Watch(1, "prompts"))))
            await read_answer(peer)
            await those.registered(*range(10, 150))
            # It is told more than the kernel and its queue take.
            for _ in range(100):
                those.leave(10)
                await those.all_told()
                await those.registered(10)
                await those.all_told()
            server = those.members[1]._server
            assert server is not None
            assert server._socket.statistics().num_dropped > 0
