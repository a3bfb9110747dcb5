"""High-water marks: every queue is bounded, by messages and by bytes."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, frame
from tests.transport.waiting import eventually, settle

from busduct.errors import FullError

KIB = 1 << 10
MIB = 1 << 20


def fill(tx: object, message: bytes) -> int:
    """Send until the socket is full; return how many were accepted."""
    num_accepted = 0
    while True:
        try:
            tx.send_nowait(message)  # type: ignore[attr-defined]
        except FullError:
            return num_accepted
        num_accepted += 1


async def test_backlog_is_bounded_by_messages(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=7, linger=0)
        assert fill(tx, b"x") == 7
        with pytest.raises(FullError, match="7 messages"):
            tx.send_nowait(b"x")
        assert tx.statistics().num_send_queued == 7


async def test_backlog_is_bounded_by_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=100 * KIB, linger=0)
        assert fill(tx, bytes(10 * KIB)) == 9
        with pytest.raises(FullError, match=f"{100 * KIB} bytes"):
            tx.send_nowait(bytes(10 * KIB))
        assert tx.statistics().num_send_queued_bytes <= 100 * KIB


async def test_message_over_the_mark_is_taken_by_an_empty_queue(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, hwm_bytes=10 * KIB), ctx.socket(backend.PULL)
        assert fill(tx, bytes(MIB)) == 1
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert await rx.recv() == bytes(MIB)
        await tx.send(bytes(MIB))
        assert await rx.recv() == bytes(MIB)


async def test_send_many_nowait_says_how_many_it_took(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=5, linger=0)
        assert tx.send_many_nowait([b"a"] * 3) == 3
        assert tx.send_many_nowait([b"b"] * 3) == 2
        assert tx.send_many_nowait([b"c"] * 3) == 0
        assert tx.send_many_nowait([]) == 0


async def test_many_small_parts_count_against_the_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=64 * KIB, linger=0)
        for _ in range(64 * KIB // (96 * 100)):
            tx.send_multipart_nowait([b""] * 100)
        with pytest.raises(FullError):
            tx.send_multipart_nowait([b""] * 100)


async def test_stalled_reader_bounds_what_a_sender_holds(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=MIB, linger=0)
        async with await RawPeer.introduced(tx.bind(address), b"PULL"):
            await eventually(lambda: tx.statistics().num_peers == 1)
            blocked = asyncio.ensure_future(tx.send_many([bytes(64 * KIB)] * 1000))
            await eventually(lambda: tx.statistics().num_send_queued_bytes > MIB // 2)
            await settle()
            assert not blocked.done()
            assert tx.statistics().num_send_queued_bytes <= MIB
            blocked.cancel()


@pytest.mark.parametrize(
    "marks", [{"hwm_messages": 20}, {"hwm_bytes": 64 * KIB}], ids=["messages", "bytes"]
)
async def test_receiver_that_takes_nothing_holds_no_more_than_its_marks(
    backend: ModuleType, address: str, marks: dict[str, int]
) -> None:
    num_messages, message = 500, bytes(8 * KIB)
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, **marks)
        async with await RawPeer.introduced(rx.bind(address), b"PUSH") as peer:
            sending = asyncio.ensure_future(peer.send(frame(message) * num_messages))
            await eventually(lambda: rx.statistics().num_recv_queued > 3)
            await settle(200)
            statistics = rx.statistics()
            assert statistics.num_recv_queued <= marks.get("hwm_messages", 1000)
            nbytes = statistics.num_recv_queued_bytes
            # The message that reaches the mark was on its way already.
            assert nbytes <= marks.get("hwm_bytes", MIB) + len(message) + 96
            for _ in range(num_messages):
                assert await rx.recv() == message
            await sending


async def test_flood_of_tiny_messages_stops_at_the_mark(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, hwm_messages=10)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            await peer.send(frame(b"") * 10_000)
            await eventually(lambda: rx.statistics().num_recv_queued == 10)
            await settle(50)
            assert rx.statistics().num_recv_queued == 10
            for _ in range(10_000):
                assert await rx.recv() == b""
            assert rx.recv_nowait() is None


@pytest.mark.usefixtures("any_loop")
async def test_sender_that_waits_goes_on_when_the_reader_does(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=3)
        rx = ctx.socket(backend.PULL, hwm_messages=3)
        tx.connect(rx.bind(address))
        messages = [str(index).encode() + bytes(50 * KIB) for index in range(200)]

        async def produce() -> None:
            for message in messages:
                await tx.send(message)

        producing = asyncio.ensure_future(produce())
        for message in messages:
            assert await rx.recv() == message
        await producing


@pytest.mark.usefixtures("any_loop")
async def test_many_senders_that_wait_all_go_on(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2)
        rx = ctx.socket(backend.PULL, hwm_messages=2)
        sending = [asyncio.ensure_future(tx.send(bytes((n,)))) for n in range(50)]
        await settle()
        assert sum(future.done() for future in sending) == 2
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        received = {(await rx.recv())[0] for _ in range(50)}
        assert received == set(range(50))
        await asyncio.gather(*sending)


async def test_full_peer_is_skipped(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, hwm_messages=1), ctx.socket(backend.PULL)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PULL"):
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send(bytes(16 * MIB))
            rx.connect(endpoint)
            await eventually(lambda: tx.statistics().num_peers == 2)
            for index in range(20):
                await tx.send(str(index).encode())
                assert await rx.recv() == str(index).encode()
            tx.close(linger=0)
