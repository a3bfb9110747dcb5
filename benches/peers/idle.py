"""Connected sockets that wait on both sides: what that costs the processors."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from driver import Task

# After the last greeting: what is left of connecting is not idleness.
SETTLE_S = 0.3

Recv = Callable[[], Awaitable[bytes]]


async def wait_with(task: Task, receivers: list[Recv]) -> None:
    """Take who greets at each socket, then report what waiting costs both processes."""
    greetings = [int(await recv()) for recv in receivers]
    waiting = [asyncio.ensure_future(recv()) for recv in receivers]
    await asyncio.sleep(SETTLE_S)
    pids = {"here": os.getpid(), "there": greetings[0]}
    before = {side: cpu_ns(pid) for side, pid in pids.items()}
    await asyncio.sleep(task.seconds)
    percent = 100e-9 / task.seconds
    shares = {
        side: (cpu_ns(pid) - before[side]) * percent for side, pid in pids.items()
    }
    if any(task.done() for task in waiting):
        msg = "a message came to a socket that was to idle"
        raise ValueError(msg)
    print(json.dumps(shares), flush=True)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def greet_with(sockets: list[tuple[Any, Recv]]) -> None:
    """Send the id of this process on each socket, then wait on all."""
    for send, _ in sockets:
        await send(str(os.getpid()).encode())
    await asyncio.gather(*(recv() for _, recv in sockets))


def cpu_ns(pid: int) -> int:
    """Return the time that all threads of a process have run."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads)
