"""zmq.asyncio as a queue: each producer connects to every consumer."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import queue_driver
import zmq
import zmq.asyncio
from queue_task import Task


@contextlib.asynccontextmanager
async def producing(task: Task) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """Give a call that puts a payload."""
    with zmq.asyncio.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = 0
        for index in range(task.num_consumers):
            push.connect(f"ipc://{task.directory}/{index}")
        yield push.send


@contextlib.asynccontextmanager
async def consuming(task: Task) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Give a call that takes the next payload."""
    with zmq.asyncio.Context() as context, context.socket(zmq.PULL) as pull:
        pull.linger = 0
        pull.bind(f"ipc://{task.directory}/{task.index}")
        yield pull.recv


if __name__ == "__main__":
    queue_driver.main(producing, consuming)
