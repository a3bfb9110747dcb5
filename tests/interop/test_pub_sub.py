"""PUB, SUB, XPUB and XSUB between our sockets and libzmq's."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
import zmq
from tests.interop.libzmq import (
    Foreign,
    join,
    recv,
    to_ours,
    to_theirs,
    while_stirring,
)
from tests.transport.waiting import eventually

PUBLISHERS = ["PUB", "XPUB"]
SUBSCRIBERS = ["SUB", "XSUB"]
MESSAGES = [[b"%d" % index, b"", bytes(index)] for index in range(500)]


def subscribe(theirs: Any, kind: str, topic: bytes) -> None:
    """Subscribe with libzmq's SUB or XSUB."""
    if kind == "SUB":
        theirs.subscribe(topic)
    else:
        theirs.send(b"\1" + topic)


def unsubscribe(theirs: Any, kind: str, topic: bytes) -> None:
    """Take back a subscription of libzmq's SUB or XSUB."""
    if kind == "SUB":
        theirs.unsubscribe(topic)
    else:
        theirs.send(b"\0" + topic)


@pytest.mark.parametrize("kind", SUBSCRIBERS)
@pytest.mark.parametrize("our_kind", PUBLISHERS)
async def test_libzmqs_subscriber_gets_what_it_asks_for(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    our_kind: str,
    kind: str,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(getattr(backend, our_kind))
        theirs = foreign.socket(getattr(zmq, kind))
        join(ours, theirs, address, ours_binds)
        for topic in (b"a", b"b" * 255):
            # An XSUB's subscription is lost where it has no peer.
            await while_stirring(
                theirs, eventually(lambda: ours.statistics().num_peers)
            )
            subscribe(theirs, kind, topic)
            await while_stirring(theirs, ours.wait_subscribers(topic=topic))
        for topic in (b"c", b"a", b"b", b"b" * 300, b"abc"):
            await ours.send_multipart([topic, b"x"])
        received = [await recv(theirs) for _ in range(3)]
        assert received == [[b"a", b"x"], [b"b" * 300, b"x"], [b"abc", b"x"]]
        unsubscribe(theirs, kind, b"a")
        left = eventually(lambda: ours.num_subscribers(b"a") == 0)
        await while_stirring(theirs, left)
        assert ours.num_subscribers(b"b" * 255) == 1


@pytest.mark.parametrize("kind", PUBLISHERS)
@pytest.mark.parametrize("our_kind", SUBSCRIBERS)
async def test_libzmqs_publisher_sends_what_we_ask_for(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    our_kind: str,
    kind: str,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(getattr(backend, our_kind))
        theirs = foreign.socket(getattr(zmq, kind))
        ours.subscribe(b"a")
        join(ours, theirs, address, ours_binds)
        await published(theirs, ours, b"abc")
        ours.subscribe(b"b")
        await published(theirs, ours, b"b", before=b"abc")
        ours.unsubscribe(b"a")
        # Once it sends no more of that, it has heard of it.
        ours.subscribe(b"c")
        await published(theirs, ours, b"c", before=b"b")
        theirs.send_multipart([b"a"])
        theirs.send_multipart([b"b", b"last"])
        received = await ours.recv_multipart()
        while received == [b"c"]:
            received = await ours.recv_multipart()
        assert received == [b"b", b"last"]


async def published(
    theirs: Any, ours: Any, text: bytes, before: bytes | None = None
) -> None:
    """Have libzmq publish a text again and again until it comes.

    What was published `before` may still be on its way.
    """

    async def publish() -> None:
        while True:
            theirs.send(text)
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    while (received := await ours.recv()) == before:
        pass
    assert received == text
    publishing.cancel()
    # What was sent meanwhile is of no interest.
    while ours.recv_nowait() is not None:
        pass


async def test_libzmqs_xpub_hears_of_our_subscriptions(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.SUB), foreign.socket(zmq.XPUB)
        ours.subscribe(b"early")
        join(ours, theirs, address, ours_binds)
        assert await recv(theirs) == [b"\1early"]
        ours.subscribe(b"")
        assert await recv(theirs) == [b"\1"]
        ours.unsubscribe(b"early")
        assert await recv(theirs) == [b"\0early"]
        if not ours_binds:
            # A libzmq socket that connects keeps what a lost peer subscribed to.
            ours.close()
            assert await recv(theirs) == [b"\0"]


async def test_our_xpub_hears_of_libzmqs_subscriptions(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.XPUB), foreign.socket(zmq.SUB)
        theirs.subscribe(b"early")
        join(ours, theirs, address, ours_binds)
        assert await while_stirring(theirs, ours.recv()) == b"\1early"
        theirs.subscribe(b"")
        assert await ours.recv() == b"\1"
        theirs.unsubscribe(b"early")
        assert await ours.recv() == b"\0early"
        theirs.close()
        assert await ours.recv() == b"\0"


async def test_everything_arrives_in_order_at_libzmq(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PUB, on_full="wait")
        theirs = foreign.socket(zmq.SUB)
        theirs.subscribe(b"")
        join(ours, theirs, address, ours_binds)
        await while_stirring(theirs, ours.wait_subscribers())
        assert await to_theirs(ours, theirs, MESSAGES) == MESSAGES


async def test_everything_arrives_in_order_from_libzmq(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.SUB), foreign.socket(zmq.XPUB)
        ours.subscribe(b"")
        join(ours, theirs, address, ours_binds)
        await recv(theirs)
        assert await to_ours(theirs, ours, MESSAGES) == MESSAGES


async def test_messages_go_up_from_an_xsub_to_an_xpub(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.XSUB), foreign.socket(zmq.XPUB)
        join(ours, theirs, address, ours_binds)
        await eventually(lambda: ours.statistics().num_peers)
        await ours.send_multipart([b"up", b"there"])
        assert await recv(theirs) == [b"up", b"there"]
