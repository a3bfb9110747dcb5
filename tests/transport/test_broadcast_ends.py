"""How a broadcast queue ends, for those who wait and for those who do not."""

import asyncio
import warnings
from types import ModuleType

import pytest
from tests.transport.broadcasting import ITEM, all_of, fill, joined, until_lost
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    PeerLostError,
)
from busduct.transport import BroadcastQueue, BroadcastReader

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_reader_that_leaves_is_dropped_and_the_others_go_on(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx, hwm_messages=2) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as stays,
        BroadcastReader(queue.handle, 1, context=ctx, hwm_messages=2) as leaves,
    ):
        receiving = asyncio.ensure_future(all_of(stays))
        await leaves.wait_ready(30.0)
        await queue.wait_ready(30.0)
        num_sent, sending = await fill(queue)
        await leaves.aclose()
        await sending
        await eventually(lambda: queue.lost_readers == [1])
        await queue.send(b"more")
        await queue.aclose()
        assert len(await receiving) == num_sent + 2
        assert queue.statistics().ranks[1].state == "lost"


async def test_loss_of_a_reader_ends_a_send_that_waits(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(
            2, context=ctx, hwm_messages=1, on_reader_lost="error", linger=0.1
        ) as queue,
        BroadcastReader(queue.handle, 0, context=ctx, hwm_messages=1) as stuck,
        BroadcastReader(queue.handle, 1, context=ctx) as leaves,
    ):
        await asyncio.gather(stuck.wait_ready(30.0), leaves.wait_ready(30.0))
        await queue.wait_ready(30.0)
        _, sending = await fill(queue)
        await leaves.aclose()
        with pytest.raises(PeerLostError, match="rank 1 of broadcast queue"):
            await sending
        with pytest.raises(PeerLostError):
            await queue.send(b"x")
        with pytest.raises(PeerLostError):
            queue.send_nowait(b"x")


async def test_nothing_is_sent_to_nobody(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(2, context=ctx) as queue:
        readers = [BroadcastReader(queue.handle, rank, context=ctx) for rank in (0, 1)]
        await asyncio.gather(*(reader.wait_ready(30.0) for reader in readers))
        await queue.send(b"x")
        await readers[0].aclose()
        await eventually(lambda: queue.lost_readers == [0])
        await queue.send(b"y")
        await readers[1].aclose()
        await eventually(lambda: queue.lost_readers == [0, 1])
        with pytest.raises(PeerLostError, match="rank 0, 1 of broadcast queue"):
            await queue.send(b"z")


async def test_send_that_waits_for_the_last_reader_fails_with_it(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx, hwm_messages=1) as queue,
        BroadcastReader(queue.handle, context=ctx, hwm_messages=1) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        _, sending = await fill(queue)
        await reader.aclose()
        with pytest.raises(PeerLostError, match="rank 0"):
            await sending


async def test_after_the_end_receiving_raises_closed_error(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv())
        await queue.send(b"x")
        assert await receiving == b"x"
        waiting = asyncio.ensure_future(reader.recv())
        await settle()
        await queue.aclose()
        for attempt in (waiting, reader.recv(), reader.recv_many()):
            with pytest.raises(ClosedError, match=r"broadcast queue .* is closed"):
                await attempt
        with pytest.raises(ClosedError):
            reader.recv_nowait()
        assert reader.closed
        assert [item async for item in reader] == []


async def test_what_is_queued_arrives_before_the_end(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        joined(ctx, hwm_messages=4) as (queue, reader),
    ):
        num_sent = 0
        while queue.statistics().ranks[0].num_queued < 3:
            await queue.send(ITEM)
            num_sent += 1
            await settle()
        closing = asyncio.ensure_future(queue.aclose())
        await settle()
        assert await all_of(reader) == [ITEM] * num_sent
        await closing


async def test_closed_queue_takes_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        queue = BroadcastQueue(1, context=ctx)
        waiting = asyncio.ensure_future(queue.wait_ready())
        sending = asyncio.ensure_future(queue.send(b"x"))
        await settle()
        await queue.aclose()
        await queue.aclose()
        queue.close()
        for attempt in (waiting, sending, queue.send(b"x"), queue.wait_ready()):
            with pytest.raises(ClosedError, match="broadcast queue"):
                await attempt
        with pytest.raises(ClosedError):
            queue.send_nowait(b"x")
        with pytest.raises(ClosedError):
            queue.send_blocking(b"x", 1.0)
        with pytest.raises(ClosedError):
            queue.wait_ready_blocking(30.0)
        assert queue.closed
        assert queue.statistics().num_sent == 0


async def test_send_that_waits_for_room_ends_when_the_queue_is_closed(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        joined(ctx, hwm_messages=1, linger=0.05) as (queue, _),
    ):
        _, sending = await fill(queue)
        closing = asyncio.ensure_future(queue.aclose())
        with pytest.raises(ClosedError):
            await sending
        await closing


async def test_closed_reader_receives_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        reader = BroadcastReader(queue.handle, context=ctx)
        receiving = asyncio.ensure_future(reader.recv())
        await settle()
        await reader.aclose()
        await reader.aclose()
        reader.close()
        for attempt in (receiving, reader.recv(), reader.wait_ready()):
            with pytest.raises(ClosedError, match="broadcast reader is closed"):
                await attempt
        with pytest.raises(ClosedError):
            reader.recv_blocking(1.0)


async def test_death_of_the_writer_wakes_readers(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        theirs = backend.Context()
        queue = BroadcastQueue(3, context=theirs, linger=0)
        readers = [BroadcastReader(queue.handle, r, context=ctx) for r in range(3)]
        await asyncio.gather(*(end.wait_ready(30.0) for end in (queue, *readers)))
        await queue.send(b"x")
        assert [await reader.recv() for reader in readers] == [b"x"] * 3
        waiting = [asyncio.ensure_future(reader.recv()) for reader in readers]
        await settle()
        # Its socket goes without a word to the readers, as by a SIGKILL.
        queue._audience.socket.close(0)
        for attempt in (*waiting, readers[0].recv(), readers[0].recv_many()):
            with pytest.raises(PeerLostError, match="broadcast queue"):
                await attempt
        with pytest.raises(PeerLostError):
            async for _ in readers[1]:
                pass
        for reader in readers:
            await reader.aclose()
        await queue.aclose()
        await theirs.aclose()


async def test_readers_take_the_writer_for_lost_if_one_has_no_room_for_the_end(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        backend.Context() as ctx,
        joined(ctx, hwm_messages=1, linger=0.05) as (queue, reader),
    ):
        num_sent, sending = await fill(queue)
        sending.cancel()
        await queue.aclose()
        assert "ends with no room at rank 0 (" in caplog.text
        received = await until_lost(reader)
        assert received == [ITEM] * (num_sent - queue.statistics().num_undelivered)


async def test_context_that_is_closed_ends_queue_and_reader(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        backend.Context() as theirs,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, context=theirs) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv())
        await queue.wait_ready(30.0)
        await theirs.aclose()
        with pytest.raises(ClosedError):
            await receiving
        await eventually(lambda: queue.lost_readers == [0])
        await ctx.aclose()
        with pytest.raises(PeerLostError):
            await queue.send(b"x")


async def test_what_is_not_closed_warns(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        queue = BroadcastQueue(1, context=ctx)
        reader = BroadcastReader(queue.handle, context=ctx)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del reader
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            queue._directory.close()
            del queue
        assert len(caught) == 1
