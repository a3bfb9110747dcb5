"""Subscriptions as bytes: how they are told, and what hostile ones do."""

import os
from pathlib import Path
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, cancel, command, frame, subscribe
from tests.transport.waiting import eventually

from busduct.errors import (
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

MIB = 1 << 20


def resident_nbytes() -> int:
    """Return the memory that this process has in use."""
    num_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return num_pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
async def test_peer_of_zmtp_3_1_is_told_by_commands(
    backend: ModuleType, address: str, kind: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(getattr(backend, kind))
        rx.subscribe(b"early")
        async with await RawPeer.introduced(rx.bind(address), b"XPUB") as peer:
            assert await peer.receive() == (4, b"\x09SUBSCRIBEearly")
            rx.subscribe(b"")
            rx.subscribe(b"early")
            rx.unsubscribe(b"early")
            rx.unsubscribe(b"early")
            assert await peer.receive() == (4, b"\x09SUBSCRIBE")
            assert await peer.receive() == (4, b"\x06CANCELearly")


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
async def test_peer_of_zmtp_3_0_is_told_by_messages(
    backend: ModuleType, address: str, kind: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(getattr(backend, kind))
        rx.subscribe(b"t" * 255)
        endpoint = rx.bind(address)
        async with await RawPeer.introduced(endpoint, b"PUB", minor=0) as peer:
            assert await peer.receive() == (0, b"\1" + b"t" * 255)
            rx.unsubscribe(b"t" * 255)
            assert await peer.receive() == (0, b"\0" + b"t" * 255)


@pytest.mark.parametrize("minor", [0, 1])
async def test_both_forms_are_understood_from_anybody(
    backend: ModuleType, minor: int
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB", minor=minor) as peer:
            await peer.send(subscribe(b"a") + frame(b"\1b"))
            await tx.wait_subscribers(topic=b"b")
            assert tx.num_subscribers(b"a") == 1
            await peer.send(cancel(b"b") + frame(b"\0a") + subscribe(b"end"))
            await tx.wait_subscribers(topic=b"end")
            assert tx.num_subscribers(b"a") == tx.num_subscribers(b"b") == 0


async def test_peer_either_has_a_topic_or_not(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(subscribe(b"a") * 3 + cancel(b"never held"))
            await peer.send(subscribe(b"b"))
            await tx.wait_subscribers(topic=b"b")
            assert tx.statistics().num_subscriptions == 2
            await peer.send(cancel(b"a") + subscribe(b"c"))
            await tx.wait_subscribers(topic=b"c")
            assert tx.num_subscribers(b"a") == 0
            assert tx.statistics().num_subscriptions == 2


async def test_publisher_drops_messages_that_are_no_subscriptions(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"XSUB") as peer:
            await peer.send(frame(b"\1a", flags=1) + frame(b"\1b"))
            await peer.send(frame(b"") + frame(b"\2c") + subscribe(b"d"))
            await tx.wait_subscribers(topic=b"d")
            assert tx.statistics().num_subscriptions == 1
            assert tx.statistics().num_recv_queued == 0


async def test_subscriber_drops_what_it_did_not_ask_for(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB)
        rx.subscribe(b"a")
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUB") as peer:
            await peer.send(frame(b"b") * 5000 + frame(b"a"))
            assert await rx.recv() == b"a"
            assert rx.statistics().num_recv_queued == 0


@pytest.mark.parametrize("form", ["command", "message"])
@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
async def test_topic_over_255_bytes_ends_the_link(
    backend: ModuleType, address: str, kind: str, form: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind))
        endpoint = tx.bind(address)
        honest = ctx.socket(backend.SUB)
        honest.subscribe(b"t" * 255)
        honest.connect(endpoint)
        # 10,000 levels, as somebody who looks for deep recursion would have them.
        topic = b"a/" * (128 if form == "command" else 10_000)
        hostile = subscribe(topic) if form == "command" else frame(b"\1" + topic)
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(hostile)
            await peer.until_closed()
        (error,) = tx.recent_errors()
        assert isinstance(error, FrameTooLargeError)
        assert (error.size, error.limit) == (len(topic), 255)
        await tx.wait_subscribers(topic=b"t" * 255)
        await tx.send(b"t" * 255)
        assert await honest.recv() == b"t" * 255


async def test_more_subscriptions_than_allowed_end_the_link(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, max_subscriptions=3)
        endpoint = tx.bind(address)
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            topics = [b"a", b"b", b"b", b"c"]
            await peer.send(b"".join(map(subscribe, topics)))
            await tx.wait_subscribers(topic=b"c")
            await peer.send(cancel(b"a") + subscribe(b"d") + subscribe(b"e"))
            assert b"more than 3 subscriptions" in await peer.until_closed()
        (error,) = tx.recent_errors()
        assert type(error) is RemoteProtocolError
        assert str(error) == "more than 3 subscriptions"
        assert tx.statistics().num_subscriptions == 0


@pytest.mark.parametrize("name", [b"SUBSCRIBE", b"CANCEL"])
@pytest.mark.parametrize(
    ("kind", "peer_kind"), [("PULL", b"PUSH"), ("ROUTER", b"DEALER"), ("SUB", b"PUB")]
)
async def test_subscription_to_a_socket_that_does_not_publish_ends_the_link(
    backend: ModuleType, kind: str, peer_kind: bytes, name: bytes
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(getattr(backend, kind))
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, peer_kind) as peer:
            await peer.send(command(name, b"topic"))
            await peer.until_closed()
        (error,) = rx.recent_errors()
        assert isinstance(error, MalformedFrameError)
        assert error.reason.endswith("to a socket that does not publish")


async def test_65536_long_topics_cost_megabytes(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            before = resident_nbytes()
            for start in range(0, 65536, 1024):
                topics = [b"%0255d" % n for n in range(start, start + 1024)]
                await peer.send(b"".join(map(subscribe, topics)))
            await tx.wait_subscribers(topic=b"%0255d" % 65535)
            assert tx.statistics().num_subscriptions == 65536
            # 16 MiB are the topics themselves.
            assert resident_nbytes() - before < 128 * MIB
        await eventually(lambda: tx.statistics().num_subscriptions == 0)


async def test_flood_of_cancelled_subscriptions_leaves_nothing(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            for start in range(0, 20_000, 1000):
                topics = [b"%d" % n for n in range(start, start + 1000)]
                await peer.send(b"".join(subscribe(t) + cancel(t) for t in topics))
            await peer.send(cancel(b"nothing") * 20_000 + subscribe(b"end"))
            await tx.wait_subscribers(topic=b"end")
            assert tx.statistics().num_subscriptions == 1
            await tx.send(b"end")
            assert await peer.receive() == (0, b"end")


async def test_topics_of_every_length_slow_nobody_down(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        rx.subscribe(b"end")
        rx.connect(endpoint)
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(b"".join(subscribe(b"t" * n) for n in range(1, 256)))
            await tx.wait_subscribers(topic=b"t" * 255)
            await tx.wait_subscribers(topic=b"end")
            assert tx.num_subscribers(b"t" * 1000) == 1
            await tx.send_many([b"t" * 1000, b"end"])
            assert await peer.receive() == (0, b"t" * 1000)
            assert await rx.recv() == b"end"
