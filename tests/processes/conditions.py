"""Waiting for what tests of processes wait for."""

import asyncio
import os
import select
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Generous: starting a few processes takes that long where many others do so, too. It
# only turns a test that hangs into one that says where.
TIMEOUT = 50.0


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def children(pid: int | None = None) -> list[int]:
    """Return what a process has started and is there; None for this one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid or 'self'}/task").iterdir():
        # NB: a thread that is listed may be gone when it is read.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


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
