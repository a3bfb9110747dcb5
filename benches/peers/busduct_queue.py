"""A queue of busduct, payloads taken as `bytes`."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import queue_driver
from queue_task import Task

from busduct.fmq import FMQ


@contextlib.asynccontextmanager
async def producing(task: Task) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """Give a call that puts a payload."""
    async with FMQ(ipc_root=str(task.directory)) as fmq:
        yield fmq.queue("bench", "producer").put


@contextlib.asynccontextmanager
async def consuming(
    task: Task, *, views: bool = False
) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Give a call that takes the next payload."""
    async with FMQ(ipc_root=str(task.directory)) as fmq:
        queue = fmq.queue("bench", "consumer", views=views)

        async def get() -> Any:
            return (await queue.get()).payload

        yield get


if __name__ == "__main__":
    queue_driver.main(producing, consuming)
