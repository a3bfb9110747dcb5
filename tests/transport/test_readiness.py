"""Whether a socket can be received from or sent to, and waiting until it can."""

import asyncio
from contextlib import suppress
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, subscribe
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, FullError

pytestmark = pytest.mark.usefixtures("any_loop")

LARGE = bytes(16 << 20)


async def test_socket_is_readable_while_it_has_a_message(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind(address))
        assert not rx.readable
        waiting = asyncio.ensure_future(rx.wait_readable())
        await settle()
        assert not waiting.done()
        await tx.send_many([b"1", b"2"])
        await waiting
        assert rx.readable
        # It took nothing.
        assert await rx.recv() == b"1"
        await rx.wait_readable()
        assert await rx.recv() == b"2"
        assert not rx.readable


async def test_socket_is_writable_while_it_has_room(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, hwm_messages=2), ctx.socket(backend.PULL)
        assert tx.writable
        await tx.wait_writable()
        await tx.send_many([b"1", b"2"])
        assert not tx.writable
        waiting = asyncio.ensure_future(tx.wait_writable())
        await settle()
        assert not waiting.done()
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await waiting
        tx.send_nowait(b"3")
        assert [await rx.recv() for _ in range(3)] == [b"1", b"2", b"3"]


async def test_who_only_asks_takes_nobodys_turn(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        asking = [asyncio.ensure_future(rx.wait_readable()) for _ in range(3)]
        await settle()
        receiving = asyncio.ensure_future(rx.recv())
        await settle()
        await tx.send(b"x")
        assert await receiving == b"x"
        await asyncio.gather(*asking[:1])
        for task in asking:
            task.cancel()


async def test_who_only_asks_for_room_takes_nobodys_turn(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, hwm_messages=1), ctx.socket(backend.PULL)
        await tx.send(b"1")
        asking = asyncio.ensure_future(tx.wait_writable())
        await settle()
        sending = asyncio.ensure_future(tx.send(b"2"))
        await settle()
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert [await rx.recv() for _ in range(2)] == [b"1", b"2"]
        await asyncio.gather(asking, sending)


async def test_cancelled_wait_loses_no_wake_up(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        asking = asyncio.ensure_future(rx.wait_readable())
        await settle()
        receiving = asyncio.ensure_future(rx.recv())
        await settle()
        await tx.send(b"x")
        asking.cancel()
        assert await receiving == b"x"


async def test_immediate_socket_is_writable_only_with_a_peer(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, immediate=True), ctx.socket(backend.PULL)
        assert not tx.writable
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.wait_writable()
        assert tx.statistics().num_peers == 1


@pytest.mark.parametrize("policy", ["error", "drop_new", "drop_old", "conflate"])
async def test_socket_that_never_waits_is_always_writable(
    backend: ModuleType, policy: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=1, on_full=policy, linger=0)
        await tx.send(b"x")
        assert tx.writable
        await tx.wait_writable()


async def test_publisher_that_waits_is_writable_when_all_have_room(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, hwm_messages=1, on_full="wait", linger=0)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        assert tx.writable
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(subscribe(b""))
            await tx.wait_subscribers()
            await tx.send(LARGE)
            assert not tx.writable
            waiting = asyncio.ensure_future(tx.wait_writable())
            await settle()
            assert not waiting.done()
            await peer.receive()
            await waiting
            assert tx.writable


async def test_router_is_writable_whoever_is_full(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, hwm_messages=1, linger=0)
        endpoint = router.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"DEALER", b"me"):
            await eventually(lambda: router.statistics().num_peers == 1)
            await router.send_multipart([b"me", LARGE])
            assert router.writable
            await router.wait_writable()


async def test_what_is_refused_at_once_is_ready(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        for kind in ("PUSH", "PUB"):
            sock = ctx.socket(getattr(backend, kind))
            assert sock.readable
            await sock.wait_readable()
        for kind in ("PULL", "SUB"):
            sock = ctx.socket(getattr(backend, kind))
            assert sock.writable
            await sock.wait_writable()


async def test_req_and_rep_are_ready_for_what_would_be_refused(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        assert (req.readable, req.writable) == (True, True)
        assert (rep.readable, rep.writable) == (False, True)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        await req.send(b"ask")
        assert (req.readable, req.writable) == (False, True)
        await rep.wait_readable()
        await rep.recv()
        assert (rep.readable, rep.writable) == (True, True)
        await rep.send(b"re")
        await req.wait_readable()
        assert await req.recv() == b"re"


async def test_req_whose_peer_is_lost_is_readable(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ)
        endpoint = req.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"REP") as peer:
            await req.send(b"ask")
            await peer.receive()
            await peer.receive()
            assert not req.readable
        await req.wait_readable()
        assert req.readable


async def test_closed_socket_is_ready_and_waiting_for_it_fails(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, immediate=True)
        waiting = [
            asyncio.ensure_future(rx.wait_readable()),
            asyncio.ensure_future(tx.wait_writable()),
        ]
        await settle()
        rx.close()
        tx.close()
        for task in waiting:
            with pytest.raises(ClosedError):
                await task
        assert rx.readable
        assert tx.writable
        with pytest.raises(ClosedError):
            await rx.wait_readable()
        with pytest.raises(ClosedError):
            await tx.wait_writable()


async def test_socket_that_refused_a_message_is_writable_once_some_have_gone(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=20_000)
        rx = ctx.socket(backend.PULL, hwm_bytes=20_000)
        tx.connect(rx.bind(address))
        num_sent = 0

        async def wait_for_room() -> asyncio.Future[None]:
            nonlocal num_sent
            with suppress(FullError):
                while True:
                    tx.send_nowait(bytes(12_000))
                    num_sent += 1
                    await settle()
            # There is room for less, which would not help who wants to send that one.
            assert not tx.writable
            waiting = asyncio.ensure_future(tx.wait_writable())
            await settle()
            return waiting

        # The kernel may take more after a while, but not without end.
        while (waiting := await wait_for_room()).done():
            pass
        for _ in range(num_sent):
            await rx.recv()
        await waiting
        tx.send_nowait(bytes(12_000))
