"""Urgent messages overtake what waits for the same peer."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer
from tests.transport.waiting import eventually, settle

from busduct.errors import FullError, LocalProtocolError, PeerLostError

pytestmark = pytest.mark.usefixtures("any_loop")

KIB = 1 << 10
# More than the kernel takes, so that it stays begun and not ended.
LARGE = bytes(16 << 20)
KINDS = {"PUSH": b"PULL", "DEALER": b"ROUTER", "PAIR": b"PAIR", "ROUTER": b"DEALER"}


@pytest.mark.parametrize("kind", KINDS)
async def test_urgent_messages_go_before_all_that_is_not_begun(
    backend: ModuleType, address: str, kind: str
) -> None:
    to_peer = [b"me"] if kind == "ROUTER" else []
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind))
        endpoint = tx.bind(address)
        async with await RawPeer.introduced(endpoint, KINDS[kind], b"me") as peer:
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send_multipart([*to_peer, LARGE])
            await settle()
            for text in (b"1", b"2", b"3"):
                await tx.send_multipart([*to_peer, text])
            await tx.send_urgent([*to_peer, b"urgent", b"a"])
            tx.send_urgent_nowait([*to_peer, b"urgent b"])
            frames = [await peer.receive() for _ in range(7)]
            assert frames[0] == (0, LARGE)
            assert frames[1:4] == [(1, b"urgent"), (0, b"a"), (0, b"urgent b")]
            assert [body for _, body in frames[4:]] == [b"1", b"2", b"3"]


async def test_urgent_messages_without_a_peer_are_sent_first(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        await tx.send_many([b"1", b"2"])
        for text in (b"a", b"b"):
            await tx.send_urgent([text])
        tx.connect(rx.bind(address))
        assert [await rx.recv() for _ in range(4)] == [b"a", b"b", b"1", b"2"]


async def test_urgent_messages_have_the_marks_to_themselves(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2, linger=0)
        await tx.send_many([b"1", b"2"])
        tx.send_urgent_nowait([b"a"])
        with pytest.raises(FullError):
            tx.send_nowait(b"3")
        tx.send_urgent_nowait([b"b"])
        with pytest.raises(FullError, match="2 messages"):
            tx.send_urgent_nowait([b"c"])
        assert tx.statistics().num_send_queued == 4
        assert tx.statistics().num_send_queued_bytes == 4 * 97


async def test_urgent_messages_are_bounded_by_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=10 * KIB, linger=0)
        tx.send_urgent_nowait([bytes(100 * KIB)])
        with pytest.raises(FullError, match=f"{10 * KIB} bytes"):
            tx.send_urgent_nowait([b"x"])
        await tx.send(b"an ordinary one")


@pytest.mark.parametrize("policy", ["error", "drop_new", "drop_old", "conflate"])
async def test_urgent_messages_wait_and_are_never_dropped(
    backend: ModuleType, policy: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2, on_full=policy)
        rx = ctx.socket(backend.PULL)
        await tx.send_urgent([b"a"])
        await tx.send_urgent([b"b"])
        waiting = asyncio.ensure_future(tx.send_urgent([b"c"]))
        await settle()
        assert not waiting.done()
        await tx.send(b"ordinary")
        assert tx.statistics().num_dropped == 0
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        received = [await rx.recv() for _ in range(4)]
        assert sorted(received) == [b"a", b"b", b"c", b"ordinary"]
        assert received[:2] == [b"a", b"b"]
        await waiting


async def test_full_queue_of_urgent_messages_goes_on_when_the_peer_does(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PULL") as peer:
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send(LARGE)
            await settle()
            texts = [b"%d" % index for index in range(10)]
            waiting = asyncio.gather(*(tx.send_urgent([text]) for text in texts))
            ordinary = asyncio.gather(*(tx.send(b"x") for _ in range(3)))
            await settle()
            assert not waiting.done()
            assert tx.statistics().num_send_queued == 4
            bodies = [(await peer.receive())[1] for _ in range(14)]
            await waiting
            await ordinary
            assert [body for body in bodies if body in texts] == texts


@pytest.mark.parametrize("kind", ["PUB", "XPUB", "SUB", "XSUB", "REQ", "REP", "PULL"])
async def test_other_kinds_have_no_urgent_messages(
    backend: ModuleType, kind: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind))
        with pytest.raises(LocalProtocolError, match=kind):
            await tx.send_urgent([b"x"])
        with pytest.raises(LocalProtocolError, match=kind):
            tx.send_urgent_nowait([b"x"])


async def test_urgent_message_needs_parts_and_a_peer_like_any(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        router, push = ctx.socket(backend.ROUTER), ctx.socket(backend.PUSH)
        with pytest.raises(PeerLostError):
            await router.send_urgent([b"nobody", b"x"])
        with pytest.raises(LocalProtocolError):
            router.send_urgent_nowait([b"id alone"])
        with pytest.raises(LocalProtocolError):
            push.send_urgent_nowait([])


async def test_urgent_messages_of_a_lost_peer_stay_urgent(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PULL"):
            await eventually(lambda: tx.statistics().num_peers == 1)
            await tx.send(LARGE)
            await settle()
            await tx.send(b"1")
            await tx.send_urgent([b"urgent"])
        await eventually(lambda: tx.statistics().num_peers == 0)
        rx.connect(endpoint)
        assert [(await rx.recv())[:6] for _ in range(3)] == [b"urgent", bytes(6), b"1"]
