"""PAIR: one peer, both ways."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer
from tests.transport.waiting import eventually

from busduct.errors import RemoteProtocolError

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_both_sides_send_and_receive(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        left, right = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        left.connect(right.bind(address))
        messages = [b"%d" % index for index in range(500)]
        sending = asyncio.gather(left.send_many(messages), right.send_many(messages))
        for sock in (left, right):
            assert [await sock.recv() for _ in messages] == messages
        await sending
        await right.send_multipart([b"a", b"", b"b"])
        assert await left.recv_multipart() == [b"a", b"", b"b"]


async def test_second_peer_is_refused_while_the_first_lives(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        ours, first = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        endpoint = ours.bind(address)
        first.connect(endpoint)
        await ours.send(b"first")
        assert await first.recv() == b"first"
        async with await RawPeer.introduced(endpoint, b"PAIR") as second:
            assert b"a PAIR has one peer" in await second.until_closed()
        assert ours.statistics().num_refused == 1
        assert ours.statistics().num_peers == 1
        (error,) = ours.recent_errors()
        assert type(error) is RemoteProtocolError
        assert str(error) == "a PAIR has one peer"
        await ours.send(b"still you")
        assert await first.recv() == b"still you"


async def test_peer_that_was_refused_comes_in_once_the_first_is_gone(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        ours, first = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        second = ctx.socket(backend.PAIR, reconnect_interval=0.01, reconnect_max=0.05)
        endpoint = ours.bind(address)
        first.connect(endpoint)
        await eventually(lambda: ours.statistics().num_peers == 1)
        second.connect(endpoint)
        await eventually(lambda: second.statistics().num_retries > 1)
        assert ours.statistics().num_refused > 0
        first.close()
        await second.send(b"hello")
        assert await ours.recv() == b"hello"


async def test_unsent_messages_wait_for_the_next_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        endpoint = ours.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PAIR"):
            await eventually(lambda: ours.statistics().num_peers == 1)
            await ours.send_many([bytes(16 << 20), b"2", b"3"])
        await eventually(lambda: ours.statistics().num_peers == 0)
        theirs.connect(endpoint)
        assert [(await theirs.recv())[:1] for _ in range(3)] == [b"\0", b"2", b"3"]
        assert ours.statistics().num_undelivered == 0
