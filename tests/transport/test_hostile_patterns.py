"""Peers that are gone, late or wrong, each in the pattern that it would hurt most."""

import asyncio
from collections.abc import Callable
from types import ModuleType

import pytest
from tests.transport.memory import resident_nbytes
from tests.transport.peers import (
    GREETING,
    RawPeer,
    cancel,
    command,
    frame,
    ready,
    subscribe,
)
from tests.transport.waiting import eventually, settle

from busduct.errors import MalformedFrameError, PeerLostError

DELIMITER = frame(b"", 1)
KIB = 1 << 10
MIB = 1 << 20


async def heard(peer: RawPeer) -> None:
    """Wait until all that a peer has sent was dealt with."""
    await peer.send(command(b"PING", b"\0\0"))
    while not (await peer.receive())[1].startswith(b"\x04PONG"):
        pass


async def test_request_of_a_peer_that_is_gone_cannot_be_replied_to(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rep, req = ctx.socket(backend.REP), ctx.socket(backend.REQ)
        endpoint = rep.bind(address)
        async with await RawPeer.introduced(endpoint, b"REQ") as peer:
            await peer.send(DELIMITER + frame(b"who is there?"))
            await eventually(lambda: rep.statistics().num_recv_queued)
        await eventually(lambda: rep.statistics().num_disconnected)
        assert await rep.recv() == b"who is there?"
        with pytest.raises(PeerLostError):
            await rep.send(b"nobody")
        req.connect(endpoint)
        await req.send(b"and now?")
        assert await rep.recv() == b"and now?"
        await rep.send(b"me")
        assert await req.recv() == b"me"


async def test_request_before_a_wrong_one_is_taken_and_its_link_forgotten(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP, max_peers=2)
        endpoint = rep.bind(address)
        for _ in range(4):
            async with await RawPeer.introduced(endpoint, b"REQ") as peer:
                await peer.send(DELIMITER + frame(b"right") + frame(b"wrong"))
                await peer.until_closed()
            assert await rep.recv() == b"right"
            with pytest.raises(PeerLostError):
                await rep.send(b"too late")
        assert isinstance(rep.recent_errors()[-1], MalformedFrameError)
        assert rep.statistics().num_refused == 0


async def test_peer_that_is_gone_subscribes_to_nothing(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        xpub = ctx.socket(backend.XPUB, hwm_messages=4)
        events = xpub.monitor()
        async with await RawPeer.introduced(xpub.bind(ipc("a")), b"SUB") as peer:
            # More than there is room for notices: the rest waits.
            await peer.send(b"".join(subscribe(b"%d" % n) for n in range(100)))
            await eventually(lambda: xpub.statistics().num_subscriptions == 4)
        # Writing shows that the peer is gone, before all that it sent is read.
        xpub.send_nowait(b"0")
        await eventually(lambda: xpub.statistics().num_peers == 0)

        def is_over() -> bool:
            while xpub.recv_nowait() is not None:
                pass
            event = events.recv_nowait()
            return event is not None and event.kind == "disconnected"

        await eventually(is_over)
        assert xpub.statistics().num_subscriptions == 0
        for topic in range(100):
            assert xpub.num_subscribers(b"%d" % topic) == 0
            xpub.send_nowait(b"%d" % topic)


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
async def test_publisher_need_not_wait_for_who_unsubscribed(
    backend: ModuleType, ipc: Callable[[str], str], kind: str
) -> None:
    async with backend.Context() as ctx:
        pub = ctx.socket(
            getattr(backend, kind), hwm_messages=4, on_full="wait", linger=0
        )
        async with await RawPeer.introduced(pub.bind(ipc("a")), b"SUB") as peer:
            await peer.send(subscribe(b""))
            await pub.wait_subscribers()
            while pub.writable:
                await pub.send(bytes(64 * KIB))
            waiting = asyncio.ensure_future(pub.send(b"for nobody"))
            await settle()
            assert not waiting.done()
            await peer.send(cancel(b""))
            await asyncio.wait_for(waiting, 20)


async def test_garbage_behind_a_reply_that_is_wanted_no_more_hurts_nobody(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        # A mark of one: what follows the reply is not looked at yet.
        req = ctx.socket(backend.REQ, req_relaxed=True, hwm_messages=1)
        endpoint = req.bind(address)
        async with await RawPeer.introduced(endpoint, b"REP") as peer:
            await req.send(b"first")
            assert [await peer.receive() for _ in range(2)][1] == (0, b"first")
            await peer.send(DELIMITER + frame(b"reply") + b"\xf0" * 64)
            await req.wait_readable()
            await settle()
            await req.send(b"second")
            await peer.until_closed()
        (error,) = await eventually(req.recent_errors)
        assert isinstance(error, MalformedFrameError)
        rep = ctx.socket(backend.REP)
        rep.connect(endpoint)
        assert await rep.recv() == b"second"
        await rep.send(b"reply")
        assert await req.recv() == b"reply"


async def test_replies_too_many_are_not_taken_for_the_next(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(
            backend.REQ, req_relaxed=True, req_correlate=True, hwm_messages=1
        )
        endpoint = req.bind(address)
        async with await RawPeer.introduced(endpoint, b"REP") as peer:
            for body in (b"one", b"two"):
                await req.send(body)
                _, number = await peer.receive()
                assert [await peer.receive() for _ in range(2)][1] == (0, body)
                await peer.send((frame(number, 1) + DELIMITER + frame(body)) * 5)
                await req.wait_readable()
            await settle()
            assert await req.recv() == b"two"


@pytest.mark.parametrize("policy", ["conflate", "drop_old"])
async def test_message_nobody_asked_for_keeps_no_other_from_being_taken(
    backend: ModuleType, address: str, policy: str
) -> None:
    async with backend.Context() as ctx:
        sub = ctx.socket(backend.SUB, on_full=policy, hwm_messages=1)
        sub.subscribe(b"wanted")
        endpoint = sub.bind(address)
        async with (
            await RawPeer.introduced(endpoint, b"PUB") as rude,
            await RawPeer.introduced(endpoint, b"PUB") as honest,
        ):
            await rude.send(frame(b"wanted, once"))
            await sub.wait_readable()
            await rude.send(frame(b"never asked for") * 10)
            await heard(rude)
            await honest.send(frame(b"wanted"))
            received = b""
            while received != b"wanted":
                received = await asyncio.wait_for(sub.recv(), 20)
            assert not sub.readable


async def test_probes_to_peers_that_hang_up_do_not_pile_up(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    num_calls = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_calls
        num_calls += 1
        writer.write(GREETING + ready(b"ROUTER"))
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    rude = "tcp://{}:{}".format(*server.sockets[0].getsockname())
    async with server, backend.Context() as ctx:
        dealer = ctx.socket(
            backend.DEALER,
            probe_router=True,
            reconnect_interval=0.001,
            reconnect_max=0.001,
        )
        dealer.connect(rude)
        await eventually(lambda: num_calls > 20)
        dealer.disconnect(rude)
        assert dealer.statistics().num_send_queued == 0
        router = ctx.socket(backend.ROUTER)
        dealer.connect(router.bind(ipc("a")))
        assert (await router.recv_multipart())[1:] == [b""]
        await dealer.send(b"hello")
        assert (await router.recv_multipart())[1:] == [b"hello"]


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
async def test_publisher_that_never_reads_makes_no_subscriber_grow(
    backend: ModuleType, ipc: Callable[[str], str], kind: str
) -> None:
    async with backend.Context() as ctx:
        sub = ctx.socket(getattr(backend, kind))
        async with await RawPeer.introduced(sub.bind(ipc("a")), b"PUB") as peer:
            await eventually(lambda: sub.statistics().num_peers)

            async def change(num_topics: int) -> None:
                for index in range(num_topics):
                    topic = b"%d" % index + b"." * 200
                    sub.subscribe(topic)
                    sub.unsubscribe(topic)
                    if index % 100 == 0:
                        await asyncio.sleep(0)

            await change(5_000)
            before = resident_nbytes()
            await change(40_000)
            assert resident_nbytes() - before < 2 * MIB
            # Once it reads, it is told all that it must know.
            sub.subscribe(b"at last")
            held: set[bytes] = set()
            while b"at last" not in held:
                _, body = await peer.receive()
                if body.startswith(b"\x09SUBSCRIBE"):
                    held.add(body[10:])
                else:
                    held.discard(body.removeprefix(b"\x06CANCEL"))
            assert held == {b"at last"}
