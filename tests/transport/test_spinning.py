"""A wait that may look before it sleeps sees the answer without a turn of the loop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest

from busduct.transport import Socket

# Longer than any answer takes, for it is not timed.
SPIN_US = 1_000_000
NUM_QUESTIONS = 20
ECHO = """
import sys
from busduct.transport import PAIR, Context

with Context(shm="require") as context, context.socket(PAIR) as socket:
    socket.connect(sys.argv[1])
    while (data := socket.recv_blocking()) != b"end":
        socket.send_blocking(data)
"""
Ask: TypeAlias = Callable[[Socket], Awaitable[bytes | None]]


@asynccontextmanager
async def echoed(rust: ModuleType, ipc_dir: Path) -> AsyncIterator[Socket]:
    """Give a socket that spins; its peer, a process, sends everything back."""
    async with rust.Context(shm="require", spin_us=SPIN_US) as context:
        socket = context.socket(rust.PAIR)
        endpoint = socket.bind(f"ipc://{ipc_dir}/echo")
        peer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ECHO, endpoint
        )
        await socket.send(b"hello")
        assert await socket.recv() == b"hello"
        yield socket
        await socket.send(b"end")
        assert await peer.wait() == 0


async def received(socket: Socket) -> bytes | None:
    return await socket.recv()


async def readable(socket: Socket) -> bytes | None:
    await socket.wait_readable()
    return socket.recv_nowait()


@pytest.mark.parametrize("answer", [received, readable])
async def test_answers_come_before_the_loop_turns(
    rust: ModuleType, ipc_dir: Path, shared_memory: None, no_leaks: None, answer: Ask
) -> None:
    turns: list[None] = []
    async with echoed(rust, ipc_dir) as socket:
        asyncio.get_running_loop().call_soon(turns.append, None)
        # NB: the first of a turn are written as they are sent, which is not the point.
        for number in range(NUM_QUESTIONS):
            socket.send_nowait(b"question %d" % number)
        for number in range(NUM_QUESTIONS):
            assert await answer(socket) == b"question %d" % number
        assert not turns
