"""What SECURITY.md promises and no other file tests."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from tests.transport.peers import GREETING, RawPeer, command, frame, ready, subscribe
from tests.transport.test_hostile_peers import MIB, resident_nbytes
from tests.transport.waiting import eventually

from busduct.errors import (
    BusductError,
    HandshakeError,
    RemoteProtocolError,
)

KEY = bytes(range(32))
KEYED_GREETING = GREETING[:12] + b"BUSDUCT".ljust(20, b"\0") + GREETING[32:]
ANYWHERE = "tcp://127.0.0.1:0"


@pytest.mark.parametrize("keyed", [False, True])
async def test_peer_that_dribbles_is_cut_off_at_the_deadline(
    backend: ModuleType, keyed: bool
) -> None:
    async with backend.Context(key=KEY if keyed else None) as ctx:
        rx = ctx.socket(backend.PULL, handshake_timeout=0.2)
        endpoint = rx.bind(ANYWHERE)
        async with await RawPeer.connect(endpoint) as peer:
            said = (KEYED_GREETING if keyed else GREETING) + bytes(10_000)
            closed = asyncio.ensure_future(peer.until_closed())
            for byte in said:
                if closed.done():
                    break
                await peer.send(bytes((byte,)))
                await asyncio.wait([closed], timeout=0.01)
            assert closed.done()
        (error,) = rx.recent_errors()
        assert isinstance(error, HandshakeError)


async def test_silent_strangers_keep_no_holder_of_the_key_out(
    backend: ModuleType,
) -> None:
    async with backend.Context(key=KEY) as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind(ANYWHERE)
        silent = [await RawPeer.connect(endpoint) for _ in range(200)]
        await eventually(lambda: rx.statistics().num_accepted == 200)
        tx.connect(endpoint)
        for number in range(100):
            await tx.send(b"%d" % number)
            assert await rx.recv() == b"%d" % number
        for peer in silent:
            await peer.close()


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
async def test_publisher_with_a_key_tells_strangers_nothing(
    backend: ModuleType, kind: str
) -> None:
    async with backend.Context(key=KEY) as ctx:
        tx, rx = ctx.socket(getattr(backend, kind)), ctx.socket(backend.SUB)
        endpoint = tx.bind(ANYWHERE)
        rx.subscribe(b"")
        rx.connect(endpoint)
        await tx.wait_subscribers()
        for greeting in (GREETING, KEYED_GREETING):
            async with await RawPeer.connect(endpoint) as peer:
                await peer.send(greeting + ready(b"SUB") + subscribe(b""))
                await tx.send(b"secret")
                assert b"secret" not in await peer.until_closed()
            assert await rx.recv() == b"secret"
        assert tx.num_subscribers() == 1


async def test_each_connection_draws_a_nonce_of_its_own(backend: ModuleType) -> None:
    nonces = set()
    async with backend.Context(key=KEY) as ctx:
        endpoint = ctx.socket(backend.PULL).bind(ANYWHERE)
        for _ in range(20):
            async with await RawPeer.connect(endpoint) as peer:
                hello = command(b"HELLO", b"\x01" + bytes(32))
                await peer.send(KEYED_GREETING + hello)
                await peer.skip(64)
                _, body = await peer.receive()
                assert body.startswith(b"\x07WELCOME")
                nonces.add(body[8:40])
    assert len(nonces) == 20


class Misbehaving:
    """A server that says the same to each who comes, and hangs up."""

    def __init__(self, said: bytes) -> None:
        self.num_visits = 0
        self._said = said
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return
            with visitor, suppress(OSError):
                visitor.sendall(self._said)
                visitor.shutdown(socket.SHUT_WR)
                visitor.recv(65536)
            self.num_visits += 1

    def close(self) -> None:
        # Closing alone does not end an accept that waits.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    "said",
    {
        "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "nothing_more": GREETING + ready(b"PUB"),
        "wrong_kind": GREETING + ready(b"SUB"),
        "too_large": GREETING + ready(b"PUB") + b"\x02" + bytes((127,)) * 8,
        "half_a_message": GREETING + ready(b"PUB") + frame(bytes(200 << 10), 1),
    }.items(),
    ids=lambda said: said[0],
)
async def test_servers_that_misbehave_cost_a_client_no_memory(
    backend: ModuleType, said: tuple[str, bytes]
) -> None:
    server = Misbehaving(said[1])
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB, reconnect_interval=1e-4, reconnect_max=1e-4)
        rx.subscribe(b"")
        rx.connect(server.endpoint)
        await eventually(lambda: server.num_visits >= 100)
        nbytes, num_fds = resident_nbytes(), len(os.listdir("/proc/self/fd"))
        await eventually(lambda: server.num_visits >= 500)
        assert resident_nbytes() - nbytes < 16 * MIB
        assert len(os.listdir("/proc/self/fd")) <= num_fds + 4
        assert rx.statistics().num_recv_queued == 0
        rx.close()
    server.close()


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
async def test_what_subscribers_send_to_a_publisher_is_bounded(
    backend: ModuleType, kind: str, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(getattr(backend, kind), hwm_messages=10)
        rx = ctx.socket(backend.SUB)
        rx.subscribe(b"")
        rx.connect(tx.bind(ipc("a")))
        await tx.wait_subscribers()
        if kind == "XPUB":
            assert await tx.recv() == b"\x01"
        async with await RawPeer.introduced(tx.last_endpoint, b"SUB") as peer:
            message = frame(bytes(64 << 10), 1) + frame(b"no subscription")

            async def flood() -> None:
                for _ in range(1000):
                    await peer.send(message)

            before = resident_nbytes()
            flooding = asyncio.create_task(flood())
            if kind == "PUB":
                await flooding
            else:
                # It gives them to its user, who takes none, and reads no more.
                await eventually(lambda: tx.statistics().num_recv_queued >= 10)
            for _ in range(100):
                await tx.send(b"on")
                assert await rx.recv() == b"on"
            assert tx.statistics().num_recv_queued == (0 if kind == "PUB" else 10)
            flooding.cancel()
            await asyncio.wait([flooding])
            assert resident_nbytes() - before < 16 * MIB


@pytest.mark.parametrize("target", ["file", "nothing", "socket", "stale"])
def test_link_at_an_ipc_path_leads_nowhere(
    backend: ModuleType, tmp_path: Path, ipc: Callable[[str], str], target: str
) -> None:
    with backend.Context() as ctx:
        owner, thief = ctx.socket(backend.PULL), ctx.socket(backend.PULL)
        there = tmp_path / "there"
        if target == "file":
            there.write_bytes(b"precious")
        elif target == "socket":
            there = Path(owner.bind(ipc("owner")).removeprefix("ipc://"))
        elif target == "stale":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(there))
        link = Path(ipc("link").removeprefix("ipc://"))
        link.symlink_to(there)
        with pytest.raises((BusductError, OSError)):
            thief.bind(ipc("link"))
        assert link.is_symlink()
        assert there.exists() == (target != "nothing")
        if target == "file":
            assert there.read_bytes() == b"precious"
        link.unlink()


async def test_errors_sent_to_peers_name_no_internals(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(ANYWHERE)
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(GREETING + ready(b"DEALER"))
            said = await peer.until_closed()
        text = said[said.index(b"\x05ERROR") + 7 :].decode()
        assert (
            text == "socket type PULL does not speak with DEALER; it speaks with PUSH"
        )
        assert isinstance(rx.recent_errors()[0], RemoteProtocolError)
