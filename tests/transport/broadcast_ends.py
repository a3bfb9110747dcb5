"""Readers and writers of broadcast queues as processes of their own.

    python -m tests.transport.broadcast_ends read HANDLE RANK NBYTES SHM

Each says on its standard output what it has come to; a line on its input lets it go on.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from busduct.errors import BusductError
from busduct.transport import BroadcastHandle, BroadcastQueue, BroadcastReader, Context

ROOT = Path(__file__).parent.parent.parent


def item(number: int, nbytes: int) -> bytes:
    """Make an item that is like no other."""
    stamp = number.to_bytes(8, "big")
    return stamp + bytes((number % 251,)) * (nbytes - 16) + stamp


@contextmanager
def process(backend: ModuleType, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Run this module as a program; end it if it has not ended."""
    command = [sys.executable, "-W", "error", "-m", __name__, *map(str, arguments)]
    environment = {**os.environ, "BUSDUCT_BACKEND": backend.BACKEND}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> Any:
    """Wait for the next thing that a process says."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, "the process ended"
    return json.loads(line)


def tell(child: subprocess.Popen[str]) -> None:
    """Let a process go on."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def _say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _read(handle: str, rank: str, nbytes: str, shm: str) -> None:
    """Read all; say how many came whole and in order, and how it ended."""
    num_received = 0
    end = "closed"
    with (
        _context(shm) as context,
        BroadcastReader(
            BroadcastHandle.parse(handle), int(rank), context=context
        ) as reader,
    ):
        reader.wait_ready_blocking(30.0)
        _say("joined")
        try:
            for got in reader:
                if got != item(num_received, int(nbytes)):
                    end = "wrong item"
                    break
                num_received += 1
        except BusductError as error:
            end = type(error).__name__
        _say([num_received, end, time.time()])


async def _read_async(handle: str, rank: str, nbytes: str, shm: str) -> None:
    """Do the same in a loop."""
    num_received = 0
    end = "closed"
    async with (
        _context(shm) as context,
        BroadcastReader(
            BroadcastHandle.parse(handle), int(rank), context=context
        ) as reader,
    ):
        await reader.wait_ready(30.0)
        _say("joined")
        try:
            async for got in reader:
                if got != item(num_received, int(nbytes)):
                    end = "wrong item"
                    break
                num_received += 1
        except BusductError as error:
            end = type(error).__name__
        _say([num_received, end, time.time()])


def _stall(handle: str, rank: str, shm: str) -> None:
    """Join, and read nothing until told to; then read all."""
    with (
        _context(shm) as context,
        BroadcastReader(
            BroadcastHandle.parse(handle), int(rank), context=context
        ) as reader,
    ):
        reader.wait_ready_blocking(30.0)
        _say("joined")
        sys.stdin.readline()
        _say(sum(1 for _ in reader))


def _write(num_readers: str, num_items: str, nbytes: str, shm: str) -> None:
    """Say the handle, send items when all are there, and be killed."""
    with _sent(num_readers, num_items, nbytes, shm):
        _say("sent")
        sys.stdin.readline()
        _say(time.time())
        os.kill(os.getpid(), signal.SIGKILL)


def _die_writing(num_readers: str, num_items: str, nbytes: str, shm: str) -> None:
    """Send items when all are there, and be killed while some are on their way."""
    with _sent(num_readers, num_items, nbytes, shm):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _sent(num_readers: str, num_items: str, nbytes: str, shm: str) -> Iterator[None]:
    """Say the handle, and accept items when all are there."""
    with (
        _context(shm) as context,
        BroadcastQueue(int(num_readers), context=context) as queue,
    ):
        _say(str(queue.handle))
        queue.wait_ready_blocking(30.0)
        for number in range(int(num_items)):
            queue.send_blocking(item(number, int(nbytes)), 30.0)
        yield


def _context(shm: str) -> Context:
    from busduct._backend import load_backend

    return Context() if load_backend().BACKEND == "python" else Context(shm=shm)


COMMANDS = {
    "read": _read,
    "read_async": lambda *arguments: asyncio.run(_read_async(*arguments)),
    "stall": _stall,
    "write": _write,
    "die_writing": _die_writing,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
