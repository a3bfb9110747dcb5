"""What can be set of a ROUTER, and of who sends to one."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, frame
from tests.transport.waiting import eventually, settle

from busduct.errors import FullError, PeerLostError

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_message_for_nobody_is_dropped_unless_mandatory(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, router_mandatory=False)
        await router.send_multipart([b"nobody", b"x"])
        router.send_multipart_nowait([b"nobody", b"x"])
        await router.send_urgent([b"nobody", b"x"])
        assert router.statistics().num_dropped == 3
        assert router.statistics().num_undelivered == 0


async def test_sender_that_waits_for_a_lost_peer_drops_unless_mandatory(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, router_mandatory=False, hwm_messages=1)
        endpoint = router.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"DEALER", b"me"):
            await eventually(lambda: router.statistics().num_peers == 1)
            await router.send_multipart([b"me", bytes(16 << 20)])
            waiting = asyncio.ensure_future(router.send_multipart([b"me", b"x"]))
            await settle()
            assert not waiting.done()
        await waiting
        assert router.statistics().num_dropped == 1
        assert router.statistics().num_undelivered == 1


async def test_second_claimant_of_an_id_takes_over_if_that_is_allowed(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, router_handover=True)
        endpoint = router.bind(address)
        async with await RawPeer.introduced(endpoint, b"DEALER", b"me") as first:
            await first.send(frame(b"from the first"))
            await eventually(lambda: router.statistics().num_recv_queued == 1)
            await router.send_multipart([b"me", bytes(16 << 20)])
            await router.send_multipart([b"me", b"unsent"])
            async with await RawPeer.introduced(endpoint, b"DEALER", b"me") as second:
                await eventually(lambda: router.statistics().num_connected == 2)
                assert router.statistics().num_peers == 1
                assert router.statistics().num_refused == 0
                assert [m[1][:6] for m in router.undelivered()] == [bytes(6), b"unsent"]
                await router.send_multipart([b"me", b"to the second"])
                assert await second.receive() == (0, b"to the second")
                await first.until_closed()
                received = await router.recv_multipart()
                assert received == [b"me", b"from the first"]


async def test_probe_tells_a_router_who_is_there(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind(address)
        for kind in ("DEALER", "REQ", "ROUTER"):
            name = kind.encode()
            prober = ctx.socket(
                getattr(backend, kind), routing_id=name, probe_router=True
            )
            prober.connect(endpoint)
            assert await router.recv_multipart() == [name, b""]


async def test_probe_goes_before_what_waits_and_to_each_new_peer(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        dealer = ctx.socket(backend.DEALER, probe_router=True)
        await dealer.send(b"waits")
        endpoint = dealer.bind("tcp://127.0.0.1:0")
        for expected in ([b"", b"waits"], [b""]):
            async with await RawPeer.introduced(endpoint, b"ROUTER") as peer:
                bodies = [(await peer.receive())[1] for _ in expected]
                assert bodies == expected
            await eventually(lambda: dealer.statistics().num_peers == 0)
        assert dealer.statistics().num_send_queued == 0


@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "REQ", "PAIR"])
async def test_immediate_socket_queues_nothing_without_a_peer(
    backend: ModuleType, address: str, kind: str
) -> None:
    peers = {"PUSH": "PULL", "DEALER": "DEALER", "REQ": "REP", "PAIR": "PAIR"}
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind), immediate=True)
        rx = ctx.socket(getattr(backend, peers[kind]))
        with pytest.raises(FullError):
            tx.send_nowait(b"x")
        waiting = asyncio.ensure_future(tx.send(b"hello"))
        await settle()
        assert not waiting.done()
        assert tx.statistics().num_send_queued == 0
        tx.connect(rx.bind(address))
        await waiting
        assert await rx.recv() == b"hello"


@pytest.mark.parametrize("policy", ["drop_new", "drop_old", "conflate"])
async def test_immediate_socket_that_drops_has_nothing_else_to_drop(
    backend: ModuleType, policy: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, immediate=True, on_full=policy)
        await tx.send(b"x")
        assert tx.statistics().num_send_queued == 0
        assert tx.statistics().num_dropped == 1


async def test_immediate_socket_that_fails_says_so(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, immediate=True, on_full="error")
        with pytest.raises(FullError):
            await tx.send(b"x")
        waiting = asyncio.ensure_future(tx.send_urgent([b"urgent"]))
        await settle()
        assert not waiting.done()
        rx = ctx.socket(backend.PULL)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await waiting
        assert await rx.recv() == b"urgent"


async def test_router_that_is_mandatory_names_who_is_lost(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, on_full="drop_new")
        with pytest.raises(PeerLostError) as caught:
            await router.send_multipart([b"me", b"x"])
        assert caught.value.peer == b"me".hex()
