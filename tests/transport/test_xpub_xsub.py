"""XPUB and XSUB: subscriptions are messages, so that a proxy can pass them on."""

from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, cancel, frame, subscribe
from tests.transport.waiting import eventually, settle

from busduct.errors import ConfigError, LocalProtocolError

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_topic_is_received_when_its_first_peer_comes_and_its_last_leaves(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.XPUB)
        endpoint = tx.bind(address)
        first, second = ctx.socket(backend.SUB), ctx.socket(backend.SUB)
        first.subscribe(b"a")
        first.connect(endpoint)
        assert await tx.recv() == b"\1a"
        second.subscribe(b"a")
        second.connect(endpoint)
        await tx.wait_subscribers(2, b"a")
        first.unsubscribe(b"a")
        await eventually(lambda: tx.num_subscribers(b"a") == 1)
        assert tx.recv_nowait() is None
        second.close()
        assert await tx.recv() == b"\0a"


async def test_topics_of_a_peer_that_is_lost_are_left(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.XPUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(subscribe(b"a") + subscribe(b"") + frame(b"\1b"))
            assert [await tx.recv() for _ in range(3)] == [b"\1a", b"\1", b"\1b"]
        assert {await tx.recv() for _ in range(3)} == {b"\0a", b"\0", b"\0b"}


async def test_repeated_subscription_is_received_only_when_verbose(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        for verbose, expected in ((False, [b"\1a"]), (True, [b"\1a"] * 3)):
            tx = ctx.socket(backend.XPUB, xpub_verbose=verbose)
            endpoint = tx.bind("tcp://127.0.0.1:0")
            async with (
                await RawPeer.introduced(endpoint, b"SUB") as peer,
                await RawPeer.introduced(endpoint, b"SUB") as other,
            ):
                await peer.send(subscribe(b"a") * 2)
                await tx.wait_subscribers(1, b"a")
                await other.send(subscribe(b"a"))
                await tx.wait_subscribers(2, b"a")
                await peer.send(cancel(b"a"))
                await eventually(lambda tx=tx: tx.num_subscribers(b"a") == 1)
                await other.send(cancel(b"a"))
                received = [await tx.recv() for _ in range(len(expected) + 1)]
                assert received == [*expected, b"\0a"]


async def test_xpub_receives_what_is_no_subscription(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.XPUB), ctx.socket(backend.XSUB)
        rx.connect(tx.bind(address))
        await eventually(lambda: rx.statistics().num_peers)
        messages = [[b"\2x"], [b"\1", b"not alone"], [b""], [b"text"]]
        for message in messages:
            await rx.send_multipart(message)
        assert [await tx.recv_multipart() for _ in messages] == messages
        assert tx.statistics().num_subscriptions == 0


async def test_xsub_subscribes_by_sending(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.XSUB)
        await rx.send(b"\1a")
        rx.subscribe(b"b")
        assert rx.statistics().num_subscriptions == 2
        rx.connect(tx.bind(address))
        await tx.wait_subscribers(topic=b"a")
        await tx.wait_subscribers(topic=b"b")
        rx.send_nowait(b"\0never subscribed to")
        rx.send_nowait(b"\0a")
        rx.unsubscribe(b"b")
        await eventually(lambda: tx.statistics().num_subscriptions == 0)
        assert rx.statistics().num_subscriptions == 0


async def test_xsub_refuses_a_topic_over_255_bytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.XSUB)
        with pytest.raises(ConfigError):
            rx.send_nowait(b"\1" + b"t" * 256)
        with pytest.raises(ConfigError):
            rx.subscribe(b"t" * 256)
        with pytest.raises(LocalProtocolError):
            rx.unsubscribe(b"never")


async def test_xsub_does_not_filter(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.XSUB)
        rx.subscribe(b"a")
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUB") as peer:
            await peer.send(frame(b"b"))
            assert await rx.recv() == b"b"


async def test_xsub_sends_to_every_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.XSUB)
        publishers = [ctx.socket(backend.XPUB) for _ in range(3)]
        for tx in publishers:
            rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await eventually(lambda: rx.statistics().num_peers == 3)
        await rx.send_multipart([b"up", b"there"])
        for tx in publishers:
            assert await tx.recv_multipart() == [b"up", b"there"]


async def test_subscriptions_and_messages_pass_through_a_pair_of_them(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        front, back = ctx.socket(backend.XSUB), ctx.socket(backend.XPUB)
        front.connect(tx.bind("tcp://127.0.0.1:0"))
        rx.subscribe(b"a")
        rx.connect(back.bind(address))
        await front.send(await back.recv())
        await tx.wait_subscribers(topic=b"a")
        await tx.send_multipart([b"a", b"b"])
        await back.send_multipart(await front.recv_multipart())
        assert await rx.recv_multipart() == [b"a", b"b"]


async def test_subscriptions_that_nobody_receives_stop_at_the_mark(
    backend: ModuleType,
) -> None:
    num_topics = 1000
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.XPUB, hwm_messages=10)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            topics = [b"%d" % index for index in range(num_topics)]
            await peer.send(b"".join(map(subscribe, topics)))
            await eventually(lambda: tx.statistics().num_subscriptions == 10)
            await settle(50)
            assert tx.statistics().num_subscriptions == 10
            assert tx.statistics().num_recv_queued == 10
            assert [await tx.recv() for _ in topics] == [b"\1" + t for t in topics]
            assert tx.statistics().num_subscriptions == num_topics
            await tx.send(b"999")
            assert await peer.receive() == (0, b"999")
