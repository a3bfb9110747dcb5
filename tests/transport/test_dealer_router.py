"""DEALER and ROUTER: replies find who asked."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ConfigError,
    LocalProtocolError,
    PeerLostError,
    RemoteProtocolError,
)

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_reply_goes_to_the_dealer_that_asked(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind(address)
        dealers = [ctx.socket(backend.DEALER) for _ in range(3)]
        for index, dealer in enumerate(dealers):
            dealer.connect(endpoint)
            await dealer.send_multipart([b"", str(index).encode()])
        for _ in dealers:
            sender, empty, text = await router.recv_multipart()
            assert empty == b""
            await router.send_multipart([sender, b"re " + text])
        assert [await d.recv() for d in dealers] == [b"re 0", b"re 1", b"re 2"]


async def test_nameless_peers_get_distinct_ids_of_5_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind("tcp://127.0.0.1:0")
        for _ in range(3):
            dealer = ctx.socket(backend.DEALER)
            dealer.connect(endpoint)
            await dealer.send(b"x")
        ids = {(await router.recv_multipart())[0] for _ in range(3)}
        assert len(ids) == 3
        assert all(len(name) == 5 and name[0] == 0 for name in ids)


@pytest.mark.parametrize("routing_id", [b"w", b"worker-7", b"\xff" * 255])
async def test_announced_id_is_the_peers_name(
    backend: ModuleType, routing_id: bytes
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        dealer = ctx.socket(backend.DEALER, routing_id=routing_id)
        dealer.connect(router.bind("tcp://127.0.0.1:0"))
        await dealer.send(b"hello")
        assert await router.recv_multipart() == [routing_id, b"hello"]


@pytest.mark.parametrize("routing_id", [b"\0abc", b"x" * 256])
async def test_unfit_routing_id_is_a_config_error(
    backend: ModuleType, routing_id: bytes
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError, match="routing_id"):
            ctx.socket(backend.DEALER, routing_id=routing_id)


async def test_message_for_an_unknown_id_is_a_lost_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        with pytest.raises(PeerLostError) as caught:
            await router.send_multipart([b"\x01ab", b"x"])
        assert caught.value.peer == "016162"
        with pytest.raises(PeerLostError):
            router.send_multipart_nowait([b"\x01ab", b"x"])


async def test_router_needs_a_routing_id_and_a_part(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        with pytest.raises(LocalProtocolError):
            await router.send(b"x")
        with pytest.raises(LocalProtocolError):
            await router.send_multipart([b"id alone"])


async def test_recv_of_a_router_refers_to_recv_multipart(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router, dealer = ctx.socket(backend.ROUTER), ctx.socket(backend.DEALER)
        dealer.connect(router.bind("tcp://127.0.0.1:0"))
        await dealer.send(b"x")
        await eventually(lambda: router.statistics().num_recv_queued == 1)
        with pytest.raises(LocalProtocolError, match="recv_multipart"):
            router.recv_nowait()
        assert (await router.recv_multipart())[1] == b"x"


async def test_id_in_use_is_refused_and_its_holder_stays(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind(address)
        first = ctx.socket(backend.DEALER, routing_id=b"me")
        first.connect(endpoint)
        await first.send(b"first")
        assert await router.recv_multipart() == [b"me", b"first"]
        async with await RawPeer.introduced(endpoint, b"DEALER", b"me") as second:
            assert b"ERROR" in await second.until_closed()
        assert router.statistics().num_refused == 1
        assert isinstance(router.recent_errors()[-1], RemoteProtocolError)
        await router.send_multipart([b"me", b"still you"])
        assert await first.recv() == b"still you"


async def test_id_is_free_again_once_its_holder_is_gone(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind("tcp://127.0.0.1:0")
        for text in (b"one", b"two", b"three"):
            dealer = ctx.socket(backend.DEALER, routing_id=b"me")
            dealer.connect(endpoint)
            await dealer.send(text)
            assert await router.recv_multipart() == [b"me", text]
            dealer.close()
            await eventually(lambda: router.statistics().num_peers == 0)
        assert router.statistics().num_refused == 0


async def test_message_to_a_peer_that_left_is_a_lost_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        dealer = ctx.socket(backend.DEALER, routing_id=b"me")
        dealer.connect(router.bind("tcp://127.0.0.1:0"))
        await dealer.send(b"x")
        await router.recv_multipart()
        dealer.close()
        await eventually(lambda: router.statistics().num_peers == 0)
        with pytest.raises(PeerLostError) as caught:
            await router.send_multipart([b"me", b"too late"])
        assert caught.value.peer == b"me".hex()


async def test_what_a_lost_peer_was_owed_is_undelivered(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind(address)
        stalled = await RawPeer.introduced(endpoint, b"DEALER", b"me")
        await eventually(lambda: router.statistics().num_peers == 1)
        await router.send_multipart([b"me", bytes(16 << 20)])
        await router.send_multipart([b"me", b"a", b"b"])
        await eventually(lambda: router.statistics().num_send_queued == 2)
        await stalled.close()
        await eventually(lambda: router.statistics().num_peers == 0)
        assert router.statistics().num_undelivered == 2
        lost = router.undelivered()
        assert [message[0] for message in lost] == [b"me", b"me"]
        assert lost[1] == [b"me", b"a", b"b"]
        assert router.undelivered() == []


async def test_sender_that_waits_for_a_peer_hears_of_its_loss(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, hwm_messages=1)
        endpoint = router.bind("tcp://127.0.0.1:0")
        stalled = await RawPeer.introduced(endpoint, b"DEALER", b"me")
        await eventually(lambda: router.statistics().num_peers == 1)
        await router.send_multipart([b"me", bytes(16 << 20)])
        waiting = asyncio.ensure_future(router.send_multipart([b"me", b"x"]))
        await settle()
        assert not waiting.done()
        await stalled.close()
        with pytest.raises(PeerLostError):
            await waiting


async def test_full_peer_of_a_router_holds_up_no_other(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER, hwm_messages=1)
        endpoint = router.bind("tcp://127.0.0.1:0")
        other = ctx.socket(backend.DEALER, routing_id=b"other")
        other.connect(endpoint)
        async with await RawPeer.introduced(endpoint, b"DEALER", b"stalled"):
            await eventually(lambda: router.statistics().num_peers == 2)
            await router.send_multipart([b"stalled", bytes(16 << 20)])
            waiting = asyncio.ensure_future(router.send_multipart([b"stalled", b"x"]))
            for index in range(20):
                await router.send_multipart([b"other", str(index).encode()])
                assert await other.recv() == str(index).encode()
            assert not waiting.done()
            waiting.cancel()
            router.close(linger=0)


async def test_two_dealers_talk(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        left, right = ctx.socket(backend.DEALER), ctx.socket(backend.DEALER)
        left.connect(right.bind(address))
        await left.send(b"ping")
        assert await right.recv() == b"ping"
        await right.send_multipart([b"po", b"ng"])
        assert await left.recv_multipart() == [b"po", b"ng"]


async def test_two_routers_talk_by_their_ids(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        left = ctx.socket(backend.ROUTER, routing_id=b"left")
        right = ctx.socket(backend.ROUTER, routing_id=b"right")
        left.connect(right.bind("tcp://127.0.0.1:0"))
        await eventually(lambda: left.statistics().num_peers == 1)
        await left.send_multipart([b"right", b"hello"])
        assert await right.recv_multipart() == [b"left", b"hello"]
