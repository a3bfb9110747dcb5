"""Who may read from a broadcast queue, and what becomes of whoever may not."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import RawPeer, frame, subscribe
from tests.transport.waiting import eventually

from busduct.errors import ConfigError, HandshakeError, WaitTimeoutError
from busduct.transport import BroadcastHandle, BroadcastQueue, BroadcastReader
from busduct.transport.broadcast._wire import ControlKind

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_readers_may_leave_their_rank_to_the_writer(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(3, context=ctx) as queue,
        BroadcastReader(queue.handle, context=ctx) as a,
        BroadcastReader(queue.handle, context=ctx) as b,
    ):
        joining = [asyncio.ensure_future(reader.wait_ready(30.0)) for reader in (a, b)]
        await eventually(lambda: len(queue._audience.socket.peers()) == 2)
        assert a.rank is None
        async with BroadcastReader(queue.handle, 0, context=ctx) as chosen:
            await chosen.wait_ready(30.0)
            await asyncio.gather(*joining)
            assert {a.rank, b.rank} == {1, 2}
            assert chosen.rank == 0


async def test_second_reader_of_a_rank_is_refused(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as first,
        BroadcastReader(queue.handle, 0, context=ctx) as second,
    ):
        await first.wait_ready(30.0)
        with pytest.raises(HandshakeError, match="rank 0 has joined already"):
            await second.wait_ready(30.0)
        with pytest.raises(HandshakeError, match="rank 0 has joined already"):
            await second.recv()
        assert second.closed
        assert not first.closed
        assert queue.statistics().num_refused == 1


async def test_reader_that_comes_late_is_refused(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as reader,
    ):
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        async with BroadcastReader(queue.handle, 0, context=ctx) as late:
            with pytest.raises(HandshakeError, match="nobody listens there"):
                await late.recv()
        await queue.send(b"x")
        assert await reader.recv() == b"x"


async def test_one_reader_too_many_is_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(2, context=ctx) as queue:
        readers = [BroadcastReader(queue.handle, context=ctx) for _ in range(3)]
        joining = (reader.wait_ready(30.0) for reader in readers)
        results = await asyncio.gather(*joining, return_exceptions=True)
        assert sorted(map(type, results), key=str) == [
            type(None),
            type(None),
            HandshakeError,
        ]
        for reader in readers:
            await reader.aclose()


async def test_reader_lost_before_all_are_there_may_be_replaced(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx, BroadcastQueue(2, context=ctx) as queue:
        async with BroadcastReader(queue.handle, 1, context=ctx) as reader:
            await reader.wait_ready(30.0)
        await eventually(lambda: queue.statistics().ranks[1].state == "missing")
        async with (
            BroadcastReader(queue.handle, 1, context=ctx) as second,
            BroadcastReader(queue.handle, 0, context=ctx) as first,
        ):
            receiving = [asyncio.ensure_future(r.recv()) for r in (first, second)]
            await queue.send(b"x")
            assert await asyncio.gather(*receiving) == [b"x", b"x"]
            assert queue.lost_readers == []


async def test_rank_that_the_queue_has_not_is_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(2, context=ctx) as queue:
        for rank in (2, -1):
            with pytest.raises(ConfigError, match="the queue has 2 readers"):
                BroadcastReader(queue.handle, rank, context=ctx)
        larger = BroadcastHandle(
            1, 9, 1 << 20, queue.handle.token, queue.handle.endpoint
        )
        async with BroadcastReader(larger, 8, context=ctx) as reader:
            with pytest.raises(HandshakeError, match="rank is 8; the queue has 2"):
                await reader.wait_ready(30.0)


async def test_handle_of_another_queue_is_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        earlier = BroadcastHandle(1, 1, 1 << 20, "00" * 8, queue.handle.endpoint)
        async with BroadcastReader(earlier, context=ctx) as reader:
            with pytest.raises(HandshakeError, match="handle of another queue"):
                await reader.recv()


async def test_reader_of_another_version_is_told(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        async with await RawPeer.introduced(queue.handle.endpoint, b"SUB") as peer:
            name = b"BDBQ\x07and whatever else it says"
            await peer.send(subscribe(name))
            assert await peer.receive() == (1, name + b"\2")
            assert await peer.receive() == (
                0,
                b"reader speaks version 07, the writer 1",
            )
        assert queue.statistics().num_refused == 1


async def test_garbage_at_the_endpoint_hurts_nobody(backend: ModuleType) -> None:
    async with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        endpoint = queue.handle.endpoint
        silent = await RawPeer.connect(endpoint)
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(b"GET / HTTP/1.1\r\n\r\n")
            await peer.until_closed()
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(
                b"".join(
                    map(subscribe, (b"", b"BDBQ", b"BDBQ\1", b"BDBQ\1" + bytes(99)))
                )
            )
            await peer.send(frame(b"\1BDBQ", 1) + frame(b"of several parts"))
            await peer.send(subscribe(bytes(256)))
            await peer.until_closed()
        async with await RawPeer.connect(endpoint) as peer:
            await peer.introduce(b"SUB")
        async with BroadcastReader(queue.handle, context=ctx) as reader:
            receiving = asyncio.ensure_future(reader.recv())
            await queue.send(b"x")
            assert await receiving == b"x"
        await silent.close()
        assert len(queue.recent_errors()) >= 2


async def test_stranger_that_subscribes_is_told_of(backend: ModuleType) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        await RawPeer.introduced(queue.handle.endpoint, b"SUB") as stranger,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        await stranger.send(subscribe(b""))
        await asyncio.gather(reader.wait_ready(30.0), queue.wait_ready(30.0))
        assert queue.statistics().num_strangers == 1


@pytest.mark.parametrize("last", ControlKind)
async def test_reader_takes_nothing_from_a_writer_that_is_none(
    backend: ModuleType, ipc: Any, monkeypatch: pytest.MonkeyPatch, last: ControlKind
) -> None:
    # The end of a name is random, and may be what a kind is.
    random = bytes(7) + bytes((last,))
    monkeypatch.setattr("secrets.token_bytes", lambda _: random)
    async with backend.Context() as ctx:
        publisher = ctx.socket(backend.XPUB, on_full="wait")
        endpoint = publisher.bind(ipc("a"))
        handle = BroadcastHandle(1, 1, 1 << 20, "00" * 8, endpoint)
        async with BroadcastReader(handle, context=ctx) as reader:
            joining = asyncio.ensure_future(reader.wait_ready(30.0))
            name = (await publisher.recv())[1:]
            await publisher.send(name + b"an item before it is welcome")
            for parts in (
                [name, b""],
                [name + b"\1", b"short"],
                [name + b"\1", bytes(4), b"long"],
                [name + b"\4", b"x"],
                [name + b"\xff", b"x"],
            ):
                await publisher.send_multipart(parts)
            await eventually(lambda: reader.statistics().num_malformed == 6)
            assert not joining.done()
            await publisher.send_multipart([name + b"\1", bytes(4)])
            await joining
            assert reader.rank == 0


async def test_joining_ends_with_its_timeout(backend: ModuleType, ipc: Any) -> None:
    async with backend.Context() as ctx:
        publisher = ctx.socket(backend.XPUB)
        handle = BroadcastHandle(1, 1, 1 << 20, "00" * 8, publisher.bind(ipc("a")))
        async with BroadcastReader(handle, context=ctx) as reader:
            with pytest.raises(WaitTimeoutError):
                await reader.wait_ready(0.01)


async def test_reader_of_a_queue_that_is_gone_is_told(
    backend: ModuleType, ipc: Any
) -> None:
    handle = BroadcastHandle(1, 1, 1 << 20, "00" * 8, ipc("nobody"))
    async with backend.Context() as ctx, BroadcastReader(handle, context=ctx) as reader:
        with pytest.raises(HandshakeError, match="nobody listens there"):
            await reader.recv()


async def test_reader_that_is_not_welcome_yet_is_told_of_the_end(
    backend: ModuleType,
) -> None:
    async with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, context=ctx) as reader,
    ):
        joining = asyncio.ensure_future(reader.wait_ready(30.0))
        await eventually(lambda: len(queue._audience.socket.peers()) == 1)
        await queue.aclose()
        with pytest.raises(HandshakeError):
            await joining
