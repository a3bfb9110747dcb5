"""PUSH and PULL between our sockets and libzmq's."""

import asyncio
import hashlib
import os
from types import ModuleType

import pytest
import zmq
from tests.interop.libzmq import Foreign, join, to_ours, to_theirs

MIB = 1 << 20

MESSAGES = {
    "one byte": [[b"x"]],
    "empty": [[b""]],
    "several empty parts": [[b"", b"", b""], [b"", b"x", b""]],
    "border of the short frame": [[bytes(254)], [bytes(255)], [bytes(256)]],
    "border inside a message": [[os.urandom(255), os.urandom(256), b"", b"end"]],
    "1000 parts": [[bytes((i % 256,)) * (i % 300) for i in range(1000)]],
    "5000 in order": [[i.to_bytes(4, "big") + bytes(i % 90)] for i in range(5000)],
    "sizes mixed": [[os.urandom(n)] for n in (0, 70_000, 3, MIB, 300, 0, 200_000) * 5],
}


@pytest.fixture(params=MESSAGES)
def messages(request: pytest.FixtureRequest) -> list[list[bytes]]:
    """Give the messages of each case in turn."""
    return MESSAGES[request.param]


async def test_pull_receives_what_libzmq_pushes(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    messages: list[list[bytes]],
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PULL), foreign.socket(zmq.PUSH)
        join(ours, theirs, address, ours_binds)
        assert await to_ours(theirs, ours, messages) == messages


async def test_push_sends_what_libzmq_pulls(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    messages: list[list[bytes]],
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PUSH), foreign.socket(zmq.PULL)
        join(ours, theirs, address, ours_binds)
        assert await to_theirs(ours, theirs, messages) == messages


async def test_frame_of_64_mib_arrives_from_libzmq(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    payload = os.urandom(MIB) * 64
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PULL), foreign.socket(zmq.PUSH)
        join(ours, theirs, address, ours_binds)
        received = await to_ours(theirs, ours, [[payload], [b"next"]])
        assert [digest(parts) for parts in received] == [
            digest([payload]),
            digest([b"next"]),
        ]


async def test_frame_of_64_mib_arrives_at_libzmq(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    payload = os.urandom(MIB) * 64
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PUSH), foreign.socket(zmq.PULL)
        join(ours, theirs, address, ours_binds)
        received = await to_theirs(ours, theirs, [[payload], [b"next"]])
        assert [digest(parts) for parts in received] == [
            digest([payload]),
            digest([b"next"]),
        ]


async def test_send_many_keeps_order_at_libzmq(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    numbers = [i.to_bytes(4, "big") for i in range(8000)]
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PUSH), foreign.socket(zmq.PULL)
        join(ours, theirs, address, ours_binds=True)
        sending = asyncio.ensure_future(ours.send_many(numbers))
        received = await asyncio.to_thread(lambda: [theirs.recv() for _ in numbers])
        await sending
        assert received == numbers


async def test_recv_many_keeps_libzmqs_order(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    numbers = [i.to_bytes(4, "big") for i in range(8000)]
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PULL), foreign.socket(zmq.PUSH)
        join(ours, theirs, address, ours_binds=True)
        sending = asyncio.create_task(
            asyncio.to_thread(lambda: [theirs.send(number) for number in numbers])
        )
        received: list[bytes] = []
        while len(received) < len(numbers):
            received += await ours.recv_many()
        await sending
        assert received == numbers


def digest(parts: list[bytes]) -> list[tuple[int, str]]:
    """Stand for parts whose difference would take minutes to print."""
    return [(len(part), hashlib.sha256(part).hexdigest()) for part in parts]
