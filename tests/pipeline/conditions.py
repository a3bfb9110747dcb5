"""Waiting for what tests wait for."""

import asyncio
import os
import select
from collections.abc import AsyncIterator, Callable

from busduct.pipeline import Engine, GenerateOutput

TIMEOUT = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_status(engine: Engine, status: str) -> None:
    await until(lambda: engine.health().status == status)


async def collect(outputs: AsyncIterator[GenerateOutput]) -> list[GenerateOutput]:
    return [output async for output in outputs]


def pid_of(engine: Engine, name: str) -> int:
    (pid,) = (p.pid for p in engine.health().processes if p.name == name)
    assert pid is not None
    return pid


def wait_gone(pids: list[int], timeout: float = TIMEOUT) -> None:
    """Return once all these processes, none of them a child of ours, have ended."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([fd], [], [], timeout)[0], f"{pid} still runs"
        finally:
            os.close(fd)


def alphabet(after: str, count: int) -> str:
    """Return what `AlphabetRunner` says after a prompt."""
    first = ord(after[-1]) - ord("a") + 1
    return "".join(chr(ord("a") + (first + n) % 26) for n in range(count))
