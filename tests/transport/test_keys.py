"""Contexts with a key: who gets in, and what happens to those who meddle."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.middleman import Middleman, RecordChange
from tests.transport.peers import GREETING, RawPeer, command, ready
from tests.transport.waiting import eventually

from busduct._backend import load_backend
from busduct.errors import (
    AuthError,
    BusductError,
    ConfigError,
    FullError,
    HandshakeError,
    PeerLostError,
    RemoteProtocolError,
)

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
ANYWHERE = "tcp://127.0.0.1:0"
KEYED_GREETING = GREETING[:12] + b"BUSDUCT".ljust(20, b"\0") + GREETING[32:]


@pytest.fixture(
    params=[
        ("rust", "rust"),
        ("rust", "python"),
        ("python", "rust"),
        ("python", "python"),
    ],
    ids="-".join,
)
def sides(request: pytest.FixtureRequest) -> tuple[ModuleType, ModuleType]:
    """Give the backend that binds and the one that connects, in every combination."""
    try:
        server, client = map(load_backend, request.param)
    except ModuleNotFoundError:
        pytest.skip("the extension is not built")
    return server, client


@asynccontextmanager
async def guarded_pull(backend: ModuleType, **options: Any) -> AsyncIterator[Any]:
    """Give a keyed PULL and its endpoint; an honest peer is served before and after."""
    async with backend.Context(key=KEY) as ctx:
        rx, tx = ctx.socket(backend.PULL, **options), ctx.socket(backend.PUSH)
        endpoint = rx.bind(ANYWHERE)
        tx.connect(endpoint)
        await tx.send(b"before")
        assert await rx.recv() == b"before"
        yield rx, endpoint
        await tx.send(b"after")
        assert await rx.recv() == b"after"
        assert tx.statistics().num_retries == 0


async def first_error(socket: Any) -> BusductError:
    """Wait for what a peer does wrong."""
    errors: list[BusductError] = await eventually(socket.recent_errors)
    return errors[0]


async def send_alone(socket: Any, data: bytes) -> None:
    """Send a message in a record of its own."""
    num_sent = socket.statistics().num_messages_sent
    await socket.send(data)
    await eventually(lambda: socket.statistics().num_messages_sent > num_sent)


def flip(record: bytes, at: int) -> bytes:
    """Change one bit."""
    changed = bytearray(record)
    changed[at] ^= 1
    return bytes(changed)


async def test_messages_of_all_sizes_pass_in_order_both_ways(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    sizes = [0, 1, 255, 256, 16384, 65536, 65537, 131072, 1 << 20, 3_000_001]
    async with server.Context(key=KEY) as left, client.Context(key=KEY) as right:
        bound, connected = left.socket(server.DEALER), right.socket(client.DEALER)
        connected.connect(bound.bind(ANYWHERE))

        async def send_all(socket: Any) -> None:
            for nbytes in sizes:
                await socket.send_multipart([b"%d" % nbytes, bytes(nbytes)])

        async def recv_all(socket: Any) -> None:
            for nbytes in sizes:
                parts = await socket.recv_multipart()
                assert parts == [b"%d" % nbytes, bytes(nbytes)]

        async with asyncio.TaskGroup() as group:
            for socket in (bound, connected):
                group.create_task(send_all(socket))
                group.create_task(recv_all(socket))
        for socket in (bound, connected):
            assert socket.recent_errors() == []


async def test_another_key_is_refused_and_named(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    async with guarded_pull(server) as (rx, endpoint):
        async with client.Context(key=OTHER_KEY) as stranger:
            tx = stranger.socket(client.PUSH, linger=0.0, reconnect_interval=5.0)
            tx.connect(endpoint)
            await tx.send(b"let me in")
            error = await first_error(tx)
            assert isinstance(error, AuthError)
            assert str(error) == f"{endpoint}: peer does not know the key"
            assert tx.statistics().num_handshakes_failed == 1
            assert tx.statistics().num_protocol_errors == 1
        error = await first_error(rx)
        assert isinstance(error, RemoteProtocolError)
        assert str(error) == "peer refused: wrong key"
        assert rx.statistics().num_handshakes_failed == 1
        assert rx.statistics().num_connected == 1


async def test_wrong_proof_of_a_client_is_refused(backend: ModuleType) -> None:
    async with guarded_pull(backend) as (rx, endpoint):
        async with await RawPeer.connect(endpoint) as peer:
            hello = command(b"HELLO", b"\x01" + bytes(32))
            initiate = command(b"INITIATE", bytes(32))
            await peer.send(KEYED_GREETING + hello + initiate)
            said = await peer.until_closed()
        assert said.endswith(command(b"ERROR", b"\x09wrong key"))
        error = await first_error(rx)
        assert isinstance(error, AuthError)
        assert str(error) == f"{endpoint}: peer does not know the key"
        assert rx.statistics().num_protocol_errors == 1


async def test_replayed_client_is_refused(sides: tuple[ModuleType, ModuleType]) -> None:
    server, client = sides
    async with guarded_pull(server) as (rx, endpoint):
        async with Middleman(endpoint) as path, client.Context(key=KEY) as ctx:
            tx = ctx.socket(client.PUSH)
            tx.connect(path.endpoint)
            await send_alone(tx, b"once")
            assert await rx.recv() == b"once"
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(bytes(path.said["client"]))
            await peer.until_closed()
        error = await first_error(rx)
        assert isinstance(error, AuthError)
        assert "does not know the key" in str(error)


async def test_replayed_server_is_refused(sides: tuple[ModuleType, ModuleType]) -> None:
    server, client = sides
    async with server.Context(key=KEY) as left, client.Context(key=KEY) as right:
        rx, tx = left.socket(server.PULL), right.socket(client.PUSH)
        async with Middleman(rx.bind(ANYWHERE)) as path:
            tx.connect(path.endpoint)
            await tx.send(b"once")
            assert await rx.recv() == b"once"
            tx.disconnect(path.endpoint)
        recorded = bytes(path.said["server"])

        async def repeat(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(recorded)
            while await reader.read(65536):
                pass
            writer.close()

        async with await asyncio.start_server(repeat, "127.0.0.1", 0) as impostor:
            port = impostor.sockets[0].getsockname()[1]
            tx.connect(f"tcp://127.0.0.1:{port}")
            error = await first_error(tx)
            assert isinstance(error, AuthError)
            tx.disconnect(f"tcp://127.0.0.1:{port}")


def off_by_a_bit(at: int) -> RecordChange:
    return lambda number, record: [flip(record, at) if number == 2 else record]


def repeated(number: int, record: bytes) -> Sequence[bytes]:
    return [record] * (2 if number == 2 else 1)


def left_out(number: int, record: bytes) -> Sequence[bytes]:
    return [] if number == 2 else [record]


def swapped() -> RecordChange:
    held: list[bytes] = []

    def change(number: int, record: bytes) -> Sequence[bytes]:
        if number == 2:
            held.append(record)
            return []
        return [record, *held] if number == 3 else [record]

    return change


def invented(number: int, record: bytes) -> Sequence[bytes]:
    extra = (1).to_bytes(4, "big") + bytes(17)
    return [extra, record] if number == 2 else [record]


def without_bytes(number: int, record: bytes) -> Sequence[bytes]:
    return [bytes(20), record] if number == 2 else [record]


def too_long(number: int, record: bytes) -> Sequence[bytes]:
    return [(65537).to_bytes(4, "big"), record] if number == 2 else [record]


# What is done to the third record, which carries the second message; and how much of
# what was sent may still arrive before it is noticed.
MEDDLING = [
    pytest.param(lambda: off_by_a_bit(-1), [b"one"], id="MAC off by a bit"),
    pytest.param(lambda: off_by_a_bit(-16), [b"one"], id="MAC off by its first bit"),
    pytest.param(lambda: off_by_a_bit(7), [b"one"], id="payload off by a bit"),
    pytest.param(lambda: off_by_a_bit(3), [b"one"], id="length off by a bit"),
    pytest.param(lambda: repeated, [b"one", b"two"], id="repeated"),
    pytest.param(lambda: left_out, [b"one"], id="left out"),
    pytest.param(swapped, [b"one"], id="swapped"),
    pytest.param(lambda: invented, [b"one"], id="invented"),
    pytest.param(lambda: without_bytes, [b"one"], id="length of 0"),
    pytest.param(lambda: too_long, [b"one"], id="length over its limit"),
]


@pytest.mark.parametrize(("meddle", "expected"), MEDDLING)
async def test_meddling_with_what_a_client_sends_ends_that_connection(
    backend: ModuleType, meddle: Any, expected: list[bytes]
) -> None:
    async with guarded_pull(backend) as (rx, endpoint):
        async with (
            Middleman(endpoint, meddle()) as path,
            backend.Context(key=KEY) as ctx,
        ):
            tx = ctx.socket(backend.PUSH, reconnect_interval=0.01)
            tx.connect(path.endpoint)
            for message in (b"one", b"two", b"three"):
                await send_alone(tx, message)
            error = await first_error(rx)
            assert isinstance(error, AuthError)
            assert str(error).startswith(f"{endpoint}: record {len(expected) + 1} ")
            assert rx.statistics().num_protocol_errors == 1
            await eventually(lambda: tx.statistics().num_connected == 2)
            await tx.send(b"anew")
            received = [await rx.recv()]
            while received[-1] != b"anew":
                received.append(await rx.recv())
        # What was not written when the connection ended goes over the next one.
        assert [m for m in received if m not in {b"three", b"anew"}] == expected


@pytest.mark.parametrize(("meddle", "expected"), MEDDLING)
async def test_meddling_with_what_a_server_sends_ends_that_connection(
    backend: ModuleType, meddle: Any, expected: list[bytes]
) -> None:
    async with backend.Context(key=KEY) as left, backend.Context(key=KEY) as right:
        tx, rx = left.socket(backend.PUSH), right.socket(backend.PULL)
        async with Middleman(tx.bind(ANYWHERE), meddle(), "server") as path:
            rx.connect(path.endpoint)
            await eventually(lambda: tx.statistics().num_peers == 1)
            for message in (b"one", b"two", b"three"):
                await send_alone(tx, message)
            error = await first_error(rx)
            assert isinstance(error, AuthError)
            await eventually(lambda: rx.statistics().num_connected == 2)
            await tx.send(b"anew")
            received = [await rx.recv()]
            while received[-1] != b"anew":
                received.append(await rx.recv())
        assert [m for m in received if m not in {b"three", b"anew"}] == expected


async def test_stream_that_ends_amid_a_record_is_a_lost_peer(
    backend: ModuleType,
) -> None:
    def cut(number: int, record: bytes) -> Sequence[bytes]:
        if number == 2:
            raise ConnectionAbortedError
        return [record, b"\0\0"] if number == 1 else [record]

    async with guarded_pull(backend) as (rx, endpoint):
        async with Middleman(endpoint, cut) as path, backend.Context(key=KEY) as ctx:
            tx = ctx.socket(backend.PUSH, linger=0.0)
            tx.connect(path.endpoint)
            await send_alone(tx, b"one")
            assert await rx.recv() == b"one"
            await send_alone(tx, b"two")
            await eventually(lambda: rx.statistics().num_disconnected == 1)
        assert all(isinstance(error, PeerLostError) for error in rx.recent_errors())


async def test_peer_without_a_key_is_refused_by_name(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    async with guarded_pull(server) as (rx, endpoint):
        async with client.Context() as ctx:
            tx = ctx.socket(client.PUSH, linger=0.0, reconnect_interval=5.0)
            tx.connect(endpoint)
            error = await first_error(tx)
            assert isinstance(error, RemoteProtocolError)
            expected = "peer asks for mechanism BUSDUCT; this side speaks NULL"
            assert str(error) == expected
        error = await first_error(rx)
        assert isinstance(error, RemoteProtocolError)
        assert str(error) == "peer asks for mechanism NULL; this side speaks BUSDUCT"


async def test_null_peer_hears_why_it_is_refused(backend: ModuleType) -> None:
    async with guarded_pull(backend) as (_, endpoint):
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(GREETING + ready(b"PUSH"))
            said = await peer.until_closed()
        reason = b"peer asks for mechanism NULL; this side speaks BUSDUCT"
        assert said[64:] == command(b"ERROR", bytes((len(reason),)) + reason)


async def test_keyed_peer_at_an_endpoint_without_a_key_is_refused_by_name(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    async with server.Context() as left, client.Context(key=KEY) as right:
        rx = left.socket(server.PULL)
        tx = right.socket(client.PUSH, linger=0.0, reconnect_interval=5.0)
        tx.connect(rx.bind(ANYWHERE))
        expected = "peer asks for mechanism {}; this side speaks {}"
        assert str(await first_error(rx)) == expected.format("BUSDUCT", "NULL")
        assert str(await first_error(tx)) == expected.format("NULL", "BUSDUCT")


@pytest.mark.parametrize(
    "said",
    [KEYED_GREETING[:40], KEYED_GREETING, KEYED_GREETING + b"\x04\x27\x05HELLO\x01"],
    ids=["amid the greeting", "after the greeting", "amid HELLO"],
)
async def test_peer_that_falls_silent_while_proving_is_let_go(
    backend: ModuleType, said: bytes
) -> None:
    # NB: the honest peer has to be in time, too.
    async with guarded_pull(backend, handshake_timeout=1.0) as (rx, endpoint):
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(said)
            await peer.until_closed()
        assert isinstance(await first_error(rx), HandshakeError)


async def test_messages_amid_the_handshake_are_refused(backend: ModuleType) -> None:
    async with guarded_pull(backend) as (rx, endpoint):
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(KEYED_GREETING + b"\0\x05hello")
            await peer.until_closed()
        assert isinstance(await first_error(rx), RemoteProtocolError)


@pytest.mark.parametrize("host", ["0.0.0.0", "*"])
async def test_leaving_loopback_takes_a_key_or_an_explicit_word(
    backend: ModuleType, host: str
) -> None:
    address = f"tcp://{host}:0"
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(AuthError, match="give the context a key"):
            rx.bind(address)
        rx.bind(address, insecure=True)
    async with backend.Context(key=KEY) as ctx:
        ctx.socket(backend.PULL).bind(address)


async def test_insecure_endpoints_do_not_use_the_key(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    for server_key, client_key in ((KEY, None), (None, KEY), (KEY, OTHER_KEY)):
        async with (
            server.Context(key=server_key) as left,
            client.Context(key=client_key) as right,
        ):
            rx, tx = left.socket(server.PULL), right.socket(client.PUSH)
            endpoint = rx.bind(ANYWHERE, insecure=True)
            tx.connect(endpoint, insecure=True)
            await tx.send(b"in clear")
            assert await rx.recv() == b"in clear"


async def test_ipc_needs_no_key(
    sides: tuple[ModuleType, ModuleType], ipc_dir: Path
) -> None:
    server, client = sides
    async with server.Context(key=KEY) as left, client.Context() as right:
        rx, tx = left.socket(server.PULL), right.socket(client.PUSH)
        tx.connect(rx.bind(f"ipc://{ipc_dir}/a"))
        await tx.send(b"same user")
        assert await rx.recv() == b"same user"


async def test_connector_comes_back_after_the_key_is_right(
    backend: ModuleType, own_port: int
) -> None:
    async with backend.Context(key=KEY) as ctx:
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.01, reconnect_max=0.05)
        async with backend.Context(key=OTHER_KEY) as wrong:
            pull = wrong.socket(backend.PULL)
            endpoint = pull.bind(f"tcp://127.0.0.1:{own_port}")
            tx.connect(endpoint)
            await tx.send(b"for the right one")
            assert isinstance(await first_error(tx), AuthError)
        async with backend.Context(key=KEY) as right:
            rx = right.socket(backend.PULL)
            rx.bind(endpoint)
            assert await rx.recv() == b"for the right one"


async def test_disconnecting_amid_a_full_stream_delivers_what_counts_as_sent(
    sides: tuple[ModuleType, ModuleType],
) -> None:
    server, client = sides
    async with server.Context(key=KEY) as left, client.Context(key=KEY) as right:
        rx = left.socket(server.PULL, hwm_messages=1)
        tx = right.socket(client.PUSH, linger=10.0)
        endpoint = rx.bind(ANYWHERE)
        tx.connect(endpoint)
        await eventually(lambda: tx.statistics().num_peers == 1)
        payload = bytes(50_000)

        def fill() -> None:
            while True:
                tx.send_nowait(payload)
                right.run_once(0)

        # Nobody receives: the kernel fills up, then what is sealed waits.
        with pytest.raises(FullError):
            fill()
        num_sent = tx.statistics().num_messages_sent
        tx.disconnect(endpoint)
        for _ in range(num_sent):
            assert await rx.recv() == payload
        await eventually(lambda: rx.statistics().num_peers == 0)
        assert rx.recv_nowait() is None
        tx.close(linger=0.0)


@pytest.mark.parametrize("nbytes", [0, 31, 33, 64])
def test_key_of_another_length_is_a_config_error(
    backend: ModuleType, nbytes: int
) -> None:
    with pytest.raises(ConfigError, match=f"key of {nbytes} bytes"):
        backend.Context(key=bytes(nbytes))


def test_key_that_is_no_bytes_is_a_type_error(backend: ModuleType) -> None:
    with pytest.raises(TypeError):
        backend.Context(key="k" * 32)
