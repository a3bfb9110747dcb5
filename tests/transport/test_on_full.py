"""What happens to a message beyond a mark is what `on_full` says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import RawPeer, frame, subscribe
from tests.transport.waiting import eventually, settle

from busduct.errors import FullError

KIB = 1 << 10
# More than the kernel takes, so that it stays begun and not ended.
LARGE = bytes(16 << 20)
NUMBERS = [b"%d" % index for index in range(10)]
KEPT = {"drop_new": NUMBERS[:3], "drop_old": NUMBERS[-3:], "conflate": NUMBERS[-1:]}


@asynccontextmanager
async def stalled(
    tx: Any, kind: bytes, name: bytes | None = None
) -> AsyncIterator[Any]:
    """Give a peer that reads nothing yet, and close it."""
    async with await RawPeer.introduced(tx.bind("tcp://127.0.0.1:0"), kind, name) as p:
        await eventually(lambda: tx.statistics().num_peers == 1)
        yield p
        tx.close(linger=0)


async def read(peer: RawPeer, num_messages: int) -> list[bytes]:
    """Read single-part messages."""
    return [(await peer.receive())[1] for _ in range(num_messages)]


@pytest.mark.parametrize("policy", KEPT)
async def test_messages_without_a_peer_are_dropped_by_the_policy(
    backend: ModuleType, policy: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=3, on_full=policy)
        rx = ctx.socket(backend.PULL)
        for number in NUMBERS[:4]:
            await tx.send(number)
        tx.send_nowait(NUMBERS[4])
        tx.send_blocking(NUMBERS[5])
        assert tx.send_many_nowait(NUMBERS[6:8]) == 2
        await tx.send_many(NUMBERS[8:])
        kept = KEPT[policy]
        assert tx.statistics().num_send_queued == len(kept)
        assert tx.statistics().num_dropped == len(NUMBERS) - len(kept)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert [await rx.recv() for _ in kept] == kept
        assert tx.statistics().num_undelivered == 0


@pytest.mark.parametrize("policy", KEPT)
@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "PAIR", "ROUTER", "PUB", "XPUB"])
async def test_messages_for_a_slow_peer_are_dropped_by_the_policy(
    backend: ModuleType, kind: str, policy: str
) -> None:
    if (kind, policy) == ("ROUTER", "conflate"):
        pytest.skip("a ROUTER does not conflate")
    peers = {"PUSH": b"PULL", "PAIR": b"PAIR", "PUB": b"SUB", "XPUB": b"SUB"}
    to_peer = [b"me"] if kind == "ROUTER" else []
    async with backend.Context() as ctx:
        # The large one counts too, for as long as it is begun.
        tx = ctx.socket(getattr(backend, kind), hwm_messages=4, on_full=policy)
        async with stalled(tx, peers.get(kind, b"DEALER"), b"me") as peer:
            if peers.get(kind) == b"SUB":
                await peer.send(subscribe(b""))
                await tx.wait_subscribers()
            await tx.send_multipart([*to_peer, LARGE])
            await settle()
            for number in NUMBERS:
                tx.send_multipart_nowait([*to_peer, number])
            kept = KEPT[policy]
            assert tx.statistics().num_send_queued == 1 + len(kept)
            assert tx.statistics().num_dropped == len(NUMBERS) - len(kept)
            assert await peer.receive() == (0, LARGE)
            assert await read(peer, len(kept)) == kept


async def test_sender_is_told_when_the_policy_is_an_error(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=3, on_full="error", linger=0)
        await tx.send(b"0")
        with pytest.raises(FullError, match="3 messages"):
            await tx.send_many([b"1", b"2", b"3"])
        with pytest.raises(FullError):
            await tx.send(b"3")
        with pytest.raises(FullError):
            await tx.send_multipart([b"3"])
        with pytest.raises(FullError):
            tx.send_blocking(b"3")
        with pytest.raises(FullError):
            tx.send_multipart_blocking([b"3"], timeout=20)
        assert tx.send_many_nowait([b"3"]) == 0
        assert tx.statistics().num_send_queued == 3
        assert tx.statistics().num_dropped == 0


@pytest.mark.parametrize("kind", ["ROUTER", "PUB", "XPUB", "DEALER", "PAIR"])
async def test_error_is_of_the_queue_that_is_full(
    backend: ModuleType, kind: str
) -> None:
    peer_kind = {"PUB": b"SUB", "XPUB": b"SUB", "PAIR": b"PAIR"}.get(kind, b"DEALER")
    to_peer = [b"me"] if kind == "ROUTER" else []
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind), hwm_bytes=100 * KIB, on_full="error")
        async with stalled(tx, peer_kind, b"me") as peer:
            if peer_kind == b"SUB":
                await peer.send(subscribe(b""))
                await tx.wait_subscribers()
            await tx.send_multipart([*to_peer, LARGE])
            with pytest.raises(FullError, match=f"{100 * KIB} bytes"):
                await tx.send_multipart([*to_peer, b"x"])
            assert tx.statistics().num_send_queued == 1


@pytest.mark.parametrize("kind", ["REQ", "REP"])
async def test_error_is_a_policy_of_req_and_rep(backend: ModuleType, kind: str) -> None:
    async with backend.Context() as ctx:
        assert not ctx.socket(getattr(backend, kind), on_full="error").closed


async def test_old_messages_make_room_by_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_bytes=100 * KIB, on_full="drop_old")
        rx = ctx.socket(backend.PULL)
        for number in NUMBERS[:8]:
            await tx.send(number + bytes(12 * KIB))
        await tx.send(b"large" + bytes(50 * KIB))
        assert tx.statistics().num_send_queued_bytes <= 100 * KIB
        assert tx.statistics().num_dropped == 4
        await tx.send(b"huge" + bytes(200 * KIB))
        assert tx.statistics().num_send_queued == 1
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert (await rx.recv())[:4] == b"huge"


@pytest.mark.parametrize(
    ("kind", "peer_kind"), [("PUSH", "PULL"), ("PUB", "SUB"), ("ROUTER", "DEALER")]
)
async def test_what_is_only_unwritten_yet_is_not_dropped(
    backend: ModuleType, kind: str, peer_kind: str
) -> None:
    to_peer = [b"me"] if kind == "ROUTER" else []
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind), hwm_messages=2, on_full="drop_new")
        rx = ctx.socket(getattr(backend, peer_kind), routing_id=b"me")
        if kind == "PUB":
            rx.subscribe(b"")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        if kind == "PUB":
            await tx.wait_subscribers()
        await eventually(lambda: tx.statistics().num_peers)
        # No turn of the loop between them: they gather to be written together.
        for number in NUMBERS:
            tx.send_multipart_nowait([*to_peer, number])
        assert [await rx.recv() for _ in NUMBERS] == NUMBERS
        assert tx.statistics().num_dropped == 0


@pytest.mark.parametrize("policy", [None, "drop_new", "drop_old", "conflate"])
async def test_slow_subscriber_costs_the_others_nothing(
    backend: ModuleType, policy: str | None
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, hwm_messages=4, on_full=policy)
        rx = ctx.socket(backend.SUB)
        async with stalled(tx, b"SUB") as peer:
            await peer.send(subscribe(b""))
            await tx.wait_subscribers()
            await tx.send(LARGE)
            rx.subscribe(b"")
            rx.connect(tx.last_endpoint)
            await tx.wait_subscribers(2)
            for number in NUMBERS:
                await tx.send(number)
                assert await rx.recv() == number
            kept = 1 if policy == "conflate" else 3
            assert tx.statistics().num_dropped == len(NUMBERS) - kept


async def test_publisher_that_waits_queues_nothing_for_anybody_meanwhile(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, hwm_messages=1, on_full="wait")
        rx = ctx.socket(backend.SUB)
        async with stalled(tx, b"SUB") as peer:
            await peer.send(subscribe(b"a"))
            await tx.wait_subscribers(topic=b"a")
            rx.subscribe(b"")
            rx.connect(tx.last_endpoint)
            await tx.wait_subscribers(2, b"a")
            await tx.send(b"a" + LARGE)
            assert len(await rx.recv()) == 1 + len(LARGE)
            waiting = asyncio.ensure_future(tx.send(b"a second"))
            await settle()
            assert not waiting.done()
            with pytest.raises(FullError):
                tx.send_nowait(b"a third")
            # Who does not concern the slow one is not held up.
            await tx.send(b"b")
            assert await rx.recv() == b"b"
            assert rx.recv_nowait() is None
            await peer.receive()
            await waiting
            assert await rx.recv() == b"a second"
            assert await peer.receive() == (0, b"a second")
            assert tx.statistics().num_dropped == 0


async def test_publisher_goes_on_when_who_it_waits_for_is_lost(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, hwm_messages=1, on_full="wait")
        async with stalled(tx, b"SUB") as peer:
            await peer.send(subscribe(b""))
            await tx.wait_subscribers()
            await tx.send(LARGE)
            waiting = [asyncio.ensure_future(tx.send(b"x")) for _ in range(3)]
            await settle()
            assert not any(task.done() for task in waiting)
            await peer.close()
            await asyncio.gather(*waiting)
            assert tx.statistics().num_undelivered == 1
            assert tx.undelivered() == []


@pytest.mark.parametrize("linger", [0, 0.05])
async def test_what_a_closing_publisher_could_not_write_is_only_counted(
    backend: ModuleType, linger: float
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        async with stalled(tx, b"SUB") as peer:
            await peer.send(subscribe(b""))
            await tx.wait_subscribers()
            await tx.send(LARGE)
            await tx.send_many(NUMBERS)
            tx.close(linger=linger)
            await eventually(lambda: tx.statistics().num_undelivered == 11)
            assert tx.undelivered() == []


@pytest.mark.parametrize("policy", KEPT)
@pytest.mark.parametrize("kind", ["PULL", "SUB", "XSUB"])
async def test_received_messages_are_dropped_by_the_policy(
    backend: ModuleType, address: str, kind: str, policy: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(getattr(backend, kind), hwm_messages=3, on_full=policy)
        if kind != "PULL":
            rx.subscribe(b"")
        peer_kind = b"PUSH" if kind == "PULL" else b"PUB"
        async with await RawPeer.introduced(rx.bind(address), peer_kind) as peer:
            for number in NUMBERS:
                await peer.send(frame(number))
            kept = KEPT[policy]
            num_dropped = len(NUMBERS) - len(kept)
            await eventually(lambda: rx.statistics().num_dropped == num_dropped)
            assert rx.statistics().num_recv_queued == len(kept)
            assert [await rx.recv() for _ in kept] == kept
            await peer.send(frame(b"later"))
            assert await rx.recv() == b"later"


async def test_received_messages_are_dropped_of_each_peer_by_itself(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, on_full="conflate")
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with (
            await RawPeer.introduced(endpoint, b"PUSH") as left,
            await RawPeer.introduced(endpoint, b"PUSH") as right,
        ):
            await left.send(frame(b"l1") + frame(b"l2"))
            await right.send(frame(b"r1") + frame(b"r2") + frame(b"r3"))
            await eventually(lambda: rx.statistics().num_dropped == 3)
            assert {await rx.recv(), await rx.recv()} == {b"l2", b"r3"}


async def test_xsub_waits_until_every_peer_has_room(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.XSUB, hwm_messages=1, on_full="drop_old")
        async with stalled(tx, b"XPUB") as peer:
            await tx.send(b"m" + LARGE)
            waiting = asyncio.ensure_future(tx.send(b"x"))
            await settle()
            assert not waiting.done()
            await peer.receive()
            await waiting
            assert await peer.receive() == (0, b"x")


async def test_unsent_messages_of_lost_peers_conflate_too(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, on_full="conflate", hwm_messages=100)
        rx = ctx.socket(backend.PULL)
        async with stalled(tx, b"PULL") as peer:
            await tx.send(LARGE)
            await settle()
            await tx.send_many([b"old", b"new"])
            await peer.close()
            await eventually(lambda: tx.statistics().num_peers == 0)
            assert tx.statistics().num_send_queued == 1
            assert tx.statistics().num_dropped == 2
            rx.connect(tx.last_endpoint)
            assert await rx.recv() == b"new"
