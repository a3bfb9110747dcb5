"""What tests of broadcast queues do over and over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.transport.waiting import eventually, settle

from busduct.errors import PeerLostError
from busduct.transport import BroadcastQueue, BroadcastReader

# So large that few of them fill what the kernel, or a ring, holds.
ITEM = bytes(65536)


@asynccontextmanager
async def joined(
    ctx: Any, hwm_messages: int, linger: float = 5.0
) -> AsyncIterator[tuple[BroadcastQueue[Any], BroadcastReader[bytes]]]:
    """Give a queue and its only reader."""
    async with (
        BroadcastQueue(
            1, context=ctx, hwm_messages=hwm_messages, linger=linger
        ) as queue,
        BroadcastReader(queue.handle, context=ctx, hwm_messages=hwm_messages) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        yield queue, reader


async def all_of(reader: BroadcastReader[Any]) -> list[Any]:
    """Receive until the end."""
    return [item async for item in reader]


async def until_lost(reader: BroadcastReader[Any]) -> list[Any]:
    """Receive until the writer is lost."""
    items = []
    try:
        while True:
            items.append(await reader.recv())
    except PeerLostError:
        return items


async def until_settled(
    queue: BroadcastQueue[Any], sending: asyncio.Future[None]
) -> None:
    """Wait until a send has found room, or waits for it."""
    await eventually(lambda: sending.done() or queue.statistics().waiting_seconds)
    await settle(100)


async def fill(queue: BroadcastQueue[Any]) -> tuple[int, asyncio.Future[None]]:
    """Send until there is no room; return how many were, and the send that waits."""
    num_sent = 0
    while True:
        sending = asyncio.ensure_future(queue.send(ITEM))
        await until_settled(queue, sending)
        if not sending.done():
            return num_sent, sending
        num_sent += 1


def new_context(backend, shm):
    return (
        backend.Context() if backend.BACKEND == "python" else backend.Context(shm=shm)
    )
