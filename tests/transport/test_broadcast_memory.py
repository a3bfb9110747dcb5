"""Where the items of a broadcast queue lie: once, whatever the number of readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.transport.broadcasting import new_context, until_settled
from tests.transport.waiting import eventually

from busduct.codec import MessageCodec
from busduct.errors import PeerLostError
from busduct.transport import BroadcastQueue, BroadcastReader

pytestmark = pytest.mark.usefixtures("any_loop")

NUM_READERS = 3
LARGE, LARGEST_CLASS = 1 << 20, 16 << 20


class Step(msgspec.Struct):
    number: int
    hidden: np.ndarray


@asynccontextmanager
async def joined(
    backend: ModuleType, shm: str = "auto", linger: float = 5.0, **options: Any
) -> AsyncIterator[tuple[Any, BroadcastQueue[Any], list[BroadcastReader[Any]]]]:
    """Give a writer's context, its queue, and readers of another context."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ctx = await enter(new_context(backend, shm))
        theirs = await enter(new_context(backend, shm))
        queue = await enter(
            BroadcastQueue(NUM_READERS, context=ctx, linger=linger, **options)
        )
        readers = [
            await enter(BroadcastReader(queue.handle, rank, context=theirs, **options))
            for rank in range(NUM_READERS)
        ]
        ends = (queue, *readers)
        await asyncio.gather(*(end.wait_ready(30.0) for end in ends))
        yield ctx, queue, readers


@pytest.mark.usefixtures("shared_memory")
@pytest.mark.parametrize("nbytes", [LARGE, LARGEST_CLASS + 1])
async def test_item_lies_once_and_goes_when_the_last_reader_lets_go(
    backend: ModuleType, nbytes: int
) -> None:
    if backend.BACKEND == "python":
        pytest.skip("pure Python has no shared memory")
    async with joined(backend) as (ctx, queue, readers):
        assert ctx.statistics().num_shm_peers == NUM_READERS
        payload = bytes(range(256)) * (nbytes // 256) + b"x" * (nbytes % 256)
        await queue.send(payload)
        leases = [await reader.recv_lease() for reader in readers]
        assert all(bytes(lease) == payload for lease in leases)
        for lease in leases:
            assert ctx.statistics().num_shm_slots_held == 1
            lease.release()
        await eventually(lambda: ctx.statistics().num_shm_slots_held == 0)
        # What is larger than the largest class has a segment for itself alone.
        num_kept = 1 if nbytes <= LARGEST_CLASS else 0
        await eventually(lambda: ctx.statistics().num_shm_segments == num_kept)


@pytest.mark.parametrize("shm", ["auto", "off"])
async def test_loan_reaches_all(backend: ModuleType, shm: str) -> None:
    async with joined(backend, shm, hwm_messages=1) as (_, queue, readers):
        for number in range(10):
            loan = queue.loan(LARGE)
            memoryview(loan)[:4] = b"%04d" % number
            sending = asyncio.ensure_future(queue.send(loan))
            for reader in readers:
                assert (await reader.recv())[:4] == b"%04d" % number
            await sending


async def test_loan_that_waits_for_room_is_sent_later(backend: ModuleType) -> None:
    async with joined(backend, hwm_messages=1) as (_, queue, readers):
        sent: list[asyncio.Future[None]] = []
        while not sent or sent[-1].done():
            loan = queue.loan(LARGE)
            memoryview(loan)[:4] = b"%04d" % len(sent)
            sent.append(asyncio.ensure_future(queue.send(loan)))
            await until_settled(queue, sent[-1])
        for number in range(len(sent)):
            for reader in readers:
                assert (await reader.recv())[:4] == b"%04d" % number
        await sent[-1]


@pytest.mark.parametrize("shm", ["auto", "off"])
async def test_arrays_travel_as_parts_and_arrive_as_views(
    backend: ModuleType, shm: str
) -> None:
    codec = MessageCodec(Step)
    async with joined(backend, shm, codec=codec) as (_, queue, readers):
        for number in range(3):
            hidden = np.full((512, 512), number, np.float32)
            await queue.send(Step(number, hidden))
            for reader in readers:
                step = await reader.recv()
                assert (step.number, step.hidden.shape) == (number, (512, 512))
                assert not step.hidden.flags.owndata
                assert (step.hidden == number).all()


async def test_parts_without_a_codec_for_them_are_passed_over(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx, codec=MessageCodec(Step)) as queue,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv_lease())
        await queue.send(Step(1, np.zeros(1000)))
        await queue.send(Step(2, np.zeros(1)))
        assert bytes(await receiving).startswith(b"\x82")
        assert reader.statistics().num_malformed == 1
        assert "item of 2 parts" in str(reader.recent_errors()[-1])


async def test_lease_outlives_the_writer(backend: ModuleType) -> None:
    async with joined(backend, linger=0) as (_, queue, readers):
        await queue.send(b"kept" * 100_000)
        lease = await readers[0].recv_lease()
        queue._audience.socket.close(0)
        with pytest.raises(PeerLostError):
            await readers[0].recv()
        await readers[0].aclose()
        assert bytes(lease) == b"kept" * 100_000
        lease.release()
