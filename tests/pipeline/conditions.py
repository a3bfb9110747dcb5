"""Waiting for what tests wait for."""

import asyncio
from collections.abc import AsyncIterator

from tests.processes.conditions import until, wait_gone

from busduct.pipeline import Engine, GenerateOutput

__all__ = [
    "alphabet",
    "collect",
    "pid_of",
    "until",
    "until_running",
    "until_status",
    "wait_gone",
]


async def until_status(engine: Engine, status: str) -> None:
    await until(lambda: engine.health().status == status)


async def until_running(engine: Engine, count: int) -> None:
    """Return as soon as so many requests have begun.

    NB: it looks at each turn of the loop: none of them can have ended by then, however
    long this process is held up.
    """
    while engine.health().num_running < count:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def collect(outputs: AsyncIterator[GenerateOutput]) -> list[GenerateOutput]:
    return [output async for output in outputs]


def pid_of(engine: Engine, name: str) -> int:
    (pid,) = (p.pid for p in engine.health().processes if p.name == name)
    assert pid is not None
    return pid


def alphabet(after: str, count: int) -> str:
    """Return what `AlphabetRunner` says after a prompt."""
    first = ord(after[-1]) - ord("a") + 1
    return "".join(chr(ord("a") + (first + n) % 26) for n in range(count))
