"""What no honest peer would do, done to every kind of socket."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from tests.interop.ends import EXCHANGES, End, exchange, our_end
from tests.transport.memory import resident_nbytes
from tests.transport.peers import GREETING, RawPeer, command, frame, ready, subscribe
from tests.transport.waiting import eventually, turn_until

from busduct.errors import (
    FrameTooLargeError,
    FullError,
    HandshakeError,
    PeerLostError,
)

MIB = 1 << 20
LONG = b"\x02"
PAIRS = sorted({*EXCHANGES, *((b, a) for a, b in EXCHANGES)})
# With whom an honest exchange can be repeated: of each kind one that it speaks with.
HONEST = dict(reversed(PAIRS))
KINDS = sorted(HONEST)


def num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def introduction(kind: str, routing_id: bytes | None = None) -> bytes:
    """Return what a peer says that `kind` will speak with."""
    return GREETING + ready(HONEST[kind].encode(), routing_id)


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "http": lambda _: b"GET / HTTP/1.1\r\n\r\n".ljust(64),
    "mechanism": lambda _: GREETING[:12] + b"CURVE" + GREETING[17:],
    "huge ready": lambda _: GREETING + b"\x06" + (1 << 40).to_bytes(8, "big"),
    "ready of many properties": lambda kind: (
        GREETING + command(b"READY", b"\x01x\0\0\0\x01y" * 100_000)
    ),
    "no ready": lambda _: GREETING + frame(b"a message"),
    "second ready": lambda kind: introduction(kind) + ready(HONEST[kind].encode()),
    "hostile length": lambda kind: (
        introduction(kind) + LONG + (1 << 46).to_bytes(8, "big")
    ),
    "negative length": lambda kind: introduction(kind) + LONG + b"\xff" * 8,
    "too many parts": lambda kind: introduction(kind) + frame(b"", 1) * 2000,
    "reserved flags": lambda kind: introduction(kind) + b"\xf8\x01x",
    "command amid a command": lambda kind: introduction(kind) + frame(b"\x03FOO", 5),
    "forged routing id": lambda kind: introduction(kind, b"\0\0\0\0\1"),
    "routing id of 256 bytes": lambda kind: introduction(kind, b"i" * 256),
    "topic too long": lambda kind: introduction(kind) + subscribe(b"a/" * 10_000),
    "empty command": lambda kind: introduction(kind) + frame(b"", 4),
    "error": lambda kind: introduction(kind) + command(b"ERROR", b"\x04mood"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "PAIR"])
async def test_bad_peer_hurts_only_itself(
    backend: ModuleType, ipc: Callable[[str], str], kind: str, attack: str
) -> None:
    async with backend.Context() as ctx:
        ours = our_end(backend, ctx, kind, b"")
        honest = our_end(backend, ctx, HONEST[kind], b"")
        endpoint = ours.bind(ipc("a"))
        honest.connect(endpoint)
        await exchange(ours, honest)
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(ATTACKS[attack](kind))
            await peer.until_closed()
        await eventually(lambda: ours.statistics().num_peers == 1)
        assert len(ours.recent_errors()) == 1
        await exchange(ours, honest)


@pytest.mark.parametrize("kind", ["PUB", "PAIR"])
async def test_five_hundred_silent_peers_keep_nobody_out(
    backend: ModuleType, address: str, kind: str
) -> None:
    async with backend.Context() as ctx:
        sock = ctx.socket(getattr(backend, kind), handshake_timeout=1.0, linger=0)
        ours, honest = End(sock, kind), our_end(backend, ctx, HONEST[kind], b"")
        endpoint = ours.bind(address)
        silent = [await RawPeer.connect(endpoint) for _ in range(500)]
        honest.connect(endpoint)
        await exchange(ours, honest)
        await eventually(lambda: sock.statistics().num_handshakes_failed == 500)
        assert all(isinstance(e, HandshakeError) for e in sock.recent_errors())
        assert sock.statistics().num_peers == 1
        await exchange(ours, honest)
        for peer in silent:
            await peer.close()


@pytest.mark.parametrize("kind", ["PULL", "ROUTER", "REP", "XPUB"])
def test_peers_that_come_and_go_leave_nothing(
    backend: ModuleType, ipc: Callable[[str], str], kind: str
) -> None:
    # 20,000 natively, over the four kinds.
    num_peers = 5000 if backend.BACKEND == "rust" else 500
    envelope = b"" if kind in {"PULL", "XPUB"} else frame(b"", 1)
    said = introduction(kind) + subscribe(b"topic") * (kind == "XPUB")
    said += envelope + frame(b"message")
    with backend.Context() as ctx:
        sock = ctx.socket(getattr(backend, kind))
        path = sock.bind(ipc("a")).removeprefix("ipc://")

        def visit() -> None:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                peer.sendall(said)
                turn_until(ctx, lambda: sock.recv_multipart_nowait() is not None)
            turn_until(ctx, lambda: sock.statistics().num_peers == 0)
            if kind == "REP":
                with pytest.raises(PeerLostError):
                    sock.send_nowait(b"too late")
            elif kind == "XPUB":
                while sock.recv_nowait() is not None:
                    pass

        for _ in range(num_peers // 5):
            visit()
        before, opened = resident_nbytes(), num_descriptors()
        for _ in range(num_peers - num_peers // 5):
            visit()
        assert resident_nbytes() - before < 2 * MIB
        assert num_descriptors() <= opened
        assert sock.statistics().num_accepted == num_peers
        assert sock.statistics().num_subscriptions == 0


@pytest.mark.parametrize(
    "policy", ["wait", "error", "drop_new", "drop_old", "conflate"]
)
async def test_subscriber_that_never_reads_is_bounded(
    backend: ModuleType, ipc: Callable[[str], str], policy: str
) -> None:
    async with backend.Context() as ctx:
        pub = ctx.socket(backend.PUB, on_full=policy, hwm_bytes=4 * MIB, linger=0)
        sub = ctx.socket(backend.SUB)
        endpoint = pub.bind(ipc("a"))
        sub.subscribe(b"for you")
        sub.connect(endpoint)
        async with await RawPeer.introduced(endpoint, b"SUB") as peer:
            await peer.send(subscribe(b"for all"))
            await pub.wait_subscribers(1, b"for all")
            await pub.wait_subscribers(1, b"for you")
            before = resident_nbytes()
            num_full = 0
            for _ in range(2000):
                try:
                    pub.send_nowait(b"for all" + bytes(32 << 10))
                except FullError:
                    num_full += 1
                await asyncio.sleep(0)
            assert resident_nbytes() - before < 16 * MIB
            statistics = pub.statistics()
            assert statistics.num_send_queued_bytes <= 4 * MIB
            assert bool(num_full) is (policy in {"wait", "error"})
            assert bool(statistics.num_dropped) is (num_full == 0)
            pub.send_nowait(b"for you")
            assert await sub.recv() == b"for you"


async def test_message_of_ten_thousand_levels_is_matched_by_its_start(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        pub, sub = ctx.socket(backend.XPUB), ctx.socket(backend.SUB)
        sub.connect(pub.bind(address))
        # Each topic within the next: the deepest that there can be.
        topics = [b"a/" * depth for depth in range(1, 128)]
        for topic in topics:
            sub.subscribe(topic)
        assert [await pub.recv() for _ in topics] == [b"\x01" + t for t in topics]
        deep = b"a/" * 10_000
        await pub.send(deep)
        assert await sub.recv() == deep
        async with await RawPeer.introduced(pub.last_endpoint, b"SUB") as peer:
            await peer.send(subscribe(deep))
            await peer.until_closed()
        (error,) = pub.recent_errors()
        assert isinstance(error, FrameTooLargeError)
        await pub.send(b"a/")
        assert await sub.recv() == b"a/"


async def test_subscriber_that_is_killed_is_forgotten(
    backend: ModuleType, address: str
) -> None:
    program = """
import sys
from busduct.transport import Context, SUB
with Context() as ctx:
    sub = ctx.socket(SUB)
    sub.subscribe(b"")
    sub.connect(sys.argv[1])
    while True:
        sub.recv_blocking()
"""
    async with backend.Context() as ctx:
        pub, sub = ctx.socket(backend.PUB, linger=0), ctx.socket(backend.SUB)
        endpoint = pub.bind(address)
        sub.subscribe(b"")
        sub.connect(endpoint)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, endpoint
        )
        try:
            await pub.wait_subscribers(2)
            for index in range(200):
                if index == 100:
                    child.send_signal(signal.SIGKILL)
                await pub.send(b"%d" % index)
                assert await sub.recv() == b"%d" % index
            await eventually(lambda: pub.statistics().num_peers == 1)
            assert pub.num_subscribers() == 1
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def test_gatecrashers_of_a_pair_are_refused_one_and_all(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        left, right = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        endpoint = left.bind(address)
        right.connect(endpoint)
        await right.send(b"first")
        assert await left.recv() == b"first"
        for index in range(100):
            async with await RawPeer.connect(endpoint) as peer:
                await peer.send(GREETING + ready(b"PAIR") + frame(b"let me in") * 50)
                assert b"a PAIR has one peer" in await peer.until_closed()
            await right.send(b"%d" % index)
            assert await left.recv() == b"%d" % index
        assert left.statistics().num_refused == 100
        assert left.statistics().num_peers == 1


async def test_thieves_of_a_routing_id_get_nothing(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        dealer = ctx.socket(backend.DEALER, routing_id=b"me")
        endpoint = router.bind(address)
        dealer.connect(endpoint)
        await dealer.send(b"hello")
        assert await router.recv_multipart() == [b"me", b"hello"]
        for index in range(100):
            async with await RawPeer.connect(endpoint) as thief:
                await thief.send(GREETING + ready(b"DEALER", b"me") + frame(b"forged"))
                await router.send_multipart([b"me", b"for me: %d" % index])
                assert b"for me" not in await thief.until_closed()
            assert await dealer.recv() == b"for me: %d" % index
        assert router.recv_multipart_nowait() is None
        assert router.statistics().num_refused == 100


@pytest.mark.parametrize("kind", KINDS)
async def test_flood_of_pings_is_answered_as_far_as_it_is_read(
    backend: ModuleType, ipc: Callable[[str], str], kind: str
) -> None:
    pings = command(b"PING", b"\0\0" + b"x" * 16) * 2_000
    async with backend.Context() as ctx:
        ours = our_end(backend, ctx, kind, b"")
        endpoint = ours.bind(ipc("a"))
        async with await RawPeer.introduced(endpoint, HONEST[kind].encode()) as peer:
            for _ in range(5):
                await peer.send(pings)
            before = resident_nbytes()
            for _ in range(15):
                await peer.send(pings)
            assert resident_nbytes() - before < 4 * MIB
        await eventually(lambda: ours.statistics().num_peers == 0)
        honest = our_end(backend, ctx, HONEST[kind], b"")
        honest.connect(endpoint)
        await exchange(ours, honest)
