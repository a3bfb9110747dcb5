"""One writer, many readers: each gets every item, in order."""

import asyncio
from contextlib import suppress
from types import ModuleType

import msgspec
import pytest
from tests.transport.broadcasting import ITEM, all_of, fill
from tests.transport.waiting import eventually, settle

from busduct.codec import MessageCodec
from busduct.errors import (
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.transport import BroadcastQueue, BroadcastReader

pytestmark = pytest.mark.usefixtures("any_loop")


class Step(msgspec.Struct):
    number: int
    token_ids: list[int]


async def test_each_reader_gets_every_item_in_order(backend: ModuleType) -> None:
    items = [b"%d" % number for number in range(3000)] + [b"", b"\1", b"BDBQ\1"]
    async with backend.Context() as ctx, BroadcastQueue(3, context=ctx) as queue:
        readers = [BroadcastReader(queue.handle, r, context=ctx) for r in range(3)]
        received = [asyncio.ensure_future(all_of(reader)) for reader in readers]
        await queue.wait_ready(30.0)
        for item in items:
            await queue.send(item)
        await queue.aclose()
        assert await asyncio.gather(*received) == [items] * 3
        for reader in readers:
            await reader.aclose()


async def test_items_that_begin_like_names_of_readers_reach_all(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as first,
        BroadcastReader(queue.handle, 1, context=ctx) as second,
    ):
        received = [asyncio.ensure_future(all_of(reader)) for reader in (first, second)]
        await queue.wait_ready(30.0)
        names = [peer.routing_id for peer in queue._audience.socket.peers()]
        assert all(len(name) == 25 for name in names)
        items = [
            *names,
            *(name + b"\1" for name in names),
            *(name[:5] for name in names),
        ]
        for item in items:
            await queue.send(item)
        await queue.aclose()
        assert await asyncio.gather(*received) == [items] * 2


async def test_own_context_and_directory_go_with_the_queue() -> None:
    async with BroadcastQueue(1) as queue, BroadcastReader(queue.handle) as reader:
        waiting = asyncio.ensure_future(reader.recv())
        await queue.send(b"x")
        assert await waiting == b"x"
        path = queue.handle.endpoint.removeprefix("ipc://")
        assert path.endswith("/queue")


async def test_items_of_a_codec_arrive_as_what_was_sent(backend: ModuleType) -> None:
    codec = MessageCodec(Step)
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, codec=codec, context=ctx) as queue,
        BroadcastReader(queue.handle, codec=codec, context=ctx) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv())
        await queue.send(Step(1, [2, 3]))
        assert await receiving == Step(1, [2, 3])
        await queue.send(Step(2, []))
        await queue.send(Step(3, []))
        await eventually(lambda: reader.statistics().num_queued == 2)
        assert await reader.recv_many() == [Step(2, []), Step(3, [])]


async def test_item_that_does_not_decode_is_counted_and_passed_over(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, codec=MessageCodec(int), context=ctx) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv())
        await queue.send(b"\xc1")
        await queue.send(msgspec.msgpack.encode(7))
        assert await receiving == 7
        assert reader.statistics().num_malformed == 1
        assert len(reader.recent_errors()) == 1


async def test_send_waits_until_all_readers_have_joined(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as first,
    ):
        receiving = asyncio.ensure_future(first.recv())
        sending = asyncio.ensure_future(queue.send(b"x"))
        await eventually(lambda: queue.statistics().ranks[0].state == "joined")
        with pytest.raises(LocalProtocolError, match="rank 1 of"):
            queue.send_nowait(b"early")
        assert not sending.done()
        async with BroadcastReader(queue.handle, 1, context=ctx) as second:
            assert await second.recv() == b"x"
            assert await receiving == b"x"
            await sending


async def test_waiting_for_readers_ends_with_its_timeout(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, 1, context=ctx) as reader,
    ):
        await reader.wait_ready(30.0)
        with pytest.raises(WaitTimeoutError):
            await queue.wait_ready(0.01)
        states = [rank.state for rank in queue.statistics().ranks]
        assert states == ["missing", "joined"]
        assert not queue.statistics().is_ready


async def test_full_queue_holds_the_writer_back(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx, hwm_messages=4) as queue,
        BroadcastReader(queue.handle, 0, context=ctx, hwm_messages=4) as quick,
        BroadcastReader(queue.handle, 1, context=ctx, hwm_messages=4) as slow,
    ):
        receiving = asyncio.ensure_future(all_of(quick))
        await slow.wait_ready(30.0)
        await queue.wait_ready(30.0)
        num_sent, sending = await fill(queue)
        with pytest.raises(FullError):
            queue.send_nowait(b"no room")
        statistics = queue.statistics()
        assert [rank.is_full for rank in statistics.ranks] == [False, True]
        assert statistics.ranks[1].num_queued == 4
        assert statistics.waiting_seconds > 0.0
        assert statistics.num_sent == num_sent
        assert [await slow.recv() for _ in range(num_sent + 1)] == [ITEM] * (
            num_sent + 1
        )
        await sending
        await queue.aclose()
        assert await receiving == [ITEM] * (num_sent + 1)


async def test_bytes_fill_a_queue_as_well_as_items_do(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx, hwm_bytes=100_000) as queue,
        BroadcastReader(queue.handle, context=ctx, hwm_bytes=1) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        num_sent, sending = await fill(queue)
        statistics = queue.statistics().ranks[0]
        assert statistics.is_full
        assert statistics.num_queued == 1
        # What is small has room; for what is large there is none.
        queue.send_nowait(b"small")
        for _ in range(num_sent):
            assert await reader.recv() == ITEM
        assert {await reader.recv(), await reader.recv()} == {ITEM, b"small"}
        await sending


async def test_cancelled_send_reaches_nobody(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx, hwm_messages=1) as queue,
        BroadcastReader(queue.handle, 0, context=ctx, hwm_messages=1) as a,
        BroadcastReader(queue.handle, 1, context=ctx, hwm_messages=1) as b,
    ):
        for reader in (a, b):
            await reader.wait_ready(30.0)
        await queue.wait_ready(30.0)
        num_sent, sending = await fill(queue)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        received = [asyncio.ensure_future(all_of(reader)) for reader in (a, b)]
        await queue.send(b"last")
        await queue.aclose()
        assert await asyncio.gather(*received) == [[ITEM] * num_sent + [b"last"]] * 2


async def test_cancelled_receive_loses_nothing(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        received = []
        num_sent = 0
        for number in range(300):
            receiving = asyncio.ensure_future(reader.recv())
            await settle(number % 3)
            await queue.send(b"%d" % num_sent)
            num_sent += 1
            await settle(number % 5)
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                received.append(await receiving)
        await queue.aclose()
        received += await all_of(reader)
        assert received == [b"%d" % number for number in range(num_sent)]


async def test_item_over_the_limit_is_refused_and_the_next_one_comes(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx, max_message_bytes=2048) as queue,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        with pytest.raises(FrameTooLargeError):
            await queue.send(bytes(2049))
        await queue.send(bytes(2048))
        assert await reader.recv() == bytes(2048)
