"""Counters say what happened."""

from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, frame, subscribe
from tests.transport.waiting import eventually


async def test_messages_and_payload_bytes_are_counted(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(bytes(10))
        await tx.send_multipart([bytes(300), b"", bytes(5)])
        await rx.recv()
        await rx.recv_multipart()
        sent, received = tx.statistics(), rx.statistics()
        assert (sent.num_messages_sent, sent.num_bytes_sent) == (2, 315)
        assert (received.num_messages_received, received.num_bytes_received) == (2, 315)
        assert sent.num_send_queued == sent.num_send_queued_bytes == 0
        assert received.num_recv_queued == received.num_recv_queued_bytes == 0


async def test_queued_bytes_include_96_per_part(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        tx.send_nowait(bytes(10))
        tx.send_multipart_nowait([b"", bytes(300)])
        statistics = tx.statistics()
        assert statistics.num_send_queued == 2
        assert statistics.num_send_queued_bytes == 310 + 3 * 96


async def test_received_and_not_taken_is_counted(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            await peer.send(frame(b"one") + frame(b"", 1) + frame(b"three"))
            await eventually(lambda: rx.statistics().num_recv_queued == 2)
            statistics = rx.statistics()
            assert statistics.num_messages_received == 2
            assert statistics.num_bytes_received == 8
            assert statistics.num_recv_queued_bytes == 8 + 3 * 96


async def test_connections_are_counted(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        for _ in range(3):
            await (await RawPeer.introduced(endpoint, b"PUSH")).close()
        await eventually(lambda: rx.statistics().num_disconnected == 3)
        statistics = rx.statistics()
        assert statistics.num_accepted == statistics.num_connected == 3
        assert statistics.num_peers == 0
        assert statistics.num_handshakes_failed == 0
        assert rx.recent_errors() == []


async def test_connections_over_the_cap_are_refused(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, max_peers=2)
        endpoint = rx.bind(address)
        async with (
            await RawPeer.introduced(endpoint, b"PUSH"),
            await RawPeer.introduced(endpoint, b"PUSH") as second,
        ):
            async with await RawPeer.connect(endpoint) as third:
                assert await third.until_closed() == b""
            assert rx.statistics().num_refused == 1
            await second.send(frame(b"still served"))
            assert await rx.recv() == b"still served"
        await eventually(lambda: rx.statistics().num_peers == 0)
        async with await RawPeer.introduced(endpoint, b"PUSH"):
            assert rx.statistics().num_accepted == 3


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "ipc:///nowhere/at/all"])
async def test_refused_connect_counts_as_a_retry_alone(
    backend: ModuleType, endpoint: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.005)
        tx.connect(endpoint)
        await eventually(lambda: tx.statistics().num_retries >= 2)
        statistics = tx.statistics()
        assert statistics.num_handshakes_failed == 0
        assert statistics.num_connected == statistics.num_disconnected == 0
        assert tx.recent_errors() == []


async def test_each_peer_is_listed_with_its_queues(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(address)
        senders = {
            name: ctx.socket(backend.PUSH, routing_id=name) for name in (b"a", b"b")
        }
        for name, tx in senders.items():
            tx.connect(endpoint)
            await tx.send(name)
        await senders[b"b"].send_multipart([bytes(10), b""])
        await eventually(lambda: rx.statistics().num_recv_queued == 3)
        found = {peer.routing_id: peer for peer in rx.peers()}
        assert set(found) == {b"a", b"b"}
        assert {peer.endpoint for peer in found.values()} == {endpoint}
        assert found[b"a"].num_recv_queued == 1
        assert found[b"b"].num_recv_queued == 2
        assert found[b"b"].num_recv_queued_bytes == 1 + 10 + 3 * 96
        senders[b"a"].close()
        await eventually(lambda: len(rx.peers()) == 1)


async def test_what_waits_for_one_peer_is_told_of_that_peer(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, on_full="error", linger=0)
        endpoint = tx.bind(address)
        reading = ctx.socket(backend.SUB, routing_id=b"reads")
        reading.subscribe(b"")
        reading.connect(endpoint)
        async with await RawPeer.introduced(endpoint, b"SUB", b"does not") as peer:
            await peer.send(subscribe(b""))
            await tx.wait_subscribers(2)
            for _ in range(8):
                await tx.send(bytes(1 << 20))
                await reading.recv()
            found = {peer.routing_id: peer for peer in tx.peers()}
            assert found[b"reads"].num_send_queued == 0
            assert 0 < found[b"does not"].num_send_queued <= 8
            assert found[b"does not"].num_send_queued_bytes > 1 << 20


async def test_router_lists_peers_by_what_it_calls_them(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(router.bind("tcp://127.0.0.1:0"))
        await dealer.send(b"x")
        routing_id, _ = await router.recv_multipart()
        assert [peer.routing_id for peer in router.peers()] == [routing_id]


async def test_closed_socket_has_no_peers(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"x")
        await rx.recv()
        rx.close()
        await eventually(lambda: rx.peers() == [])
