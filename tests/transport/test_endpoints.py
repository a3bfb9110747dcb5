"""Endpoints: what can be bound, what is in use, what is left on disk."""

import asyncio
import gc
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.transport.waiting import eventually

from busduct.errors import (
    AddressInUseError,
    AuthError,
    ConfigError,
    LocalProtocolError,
)

Ipc = Callable[[str], str]


def path_of(endpoint: str) -> Path:
    return Path(endpoint.removeprefix("ipc://"))


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:"),
        ("tcp://localhost:0", "tcp://"),
        ("tcp://[::1]:0", "tcp://[::1]:"),
    ],
)
async def test_port_0_becomes_the_real_port(
    backend: ModuleType, asked: str, start: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        assert rx.last_endpoint == ""
        endpoint = rx.bind(asked)
        assert endpoint == rx.last_endpoint
        assert endpoint.startswith(start)
        assert int(endpoint.rpartition(":")[2]) > 0
        tx.connect(endpoint)
        await tx.send(b"x")
        assert await rx.recv() == b"x"


@pytest.mark.parametrize("endpoint", ["tcp://*:0", "tcp://0.0.0.0:0"])
async def test_address_beyond_loopback_needs_consent(
    backend: ModuleType, endpoint: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(AuthError, match="insecure=True"):
            rx.bind(endpoint)
        bound = rx.bind(endpoint, insecure=True)
        assert bound.startswith("tcp://0.0.0.0:")


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "ipc://",
        "ipc://@abstract",
        "ipc://*",
        "ipc://with\0zero",
        "inproc://",
        "inproc://a\0b",
        "inproc://" + "n" * 256,
        "udp://127.0.0.1:1",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:http",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://:5555",
        "tcp://::1:5555",
        "tcp://[]:1",
        "tcp://[h]:1",
        "tcp://[[::1]]:0",
        "tcp://[127.0.0.1]:0",
        "tcp://[h:1",
        "tcp://h]:1",
        "/tmp/no-scheme",
    ],
)
async def test_text_that_is_no_endpoint_is_a_config_error(
    backend: ModuleType, endpoint: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(ConfigError):
            rx.bind(endpoint)
        with pytest.raises(ConfigError):
            rx.connect(endpoint)


@pytest.mark.parametrize("path", ["/" + "x" * 119, "/" + "\u00e9" * 60])
async def test_long_ipc_path_is_refused_with_both_numbers(
    backend: ModuleType, path: str
) -> None:
    nbytes = len(os.fsencode(path))
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        for call in (rx.bind, rx.connect):
            with pytest.raises(ConfigError, match=rf"{nbytes} bytes.* 107 bytes"):
                call(f"ipc://{path}")


async def test_ipc_path_of_107_bytes_is_bound(
    backend: ModuleType, ipc_dir: Path
) -> None:
    path = str(ipc_dir) + "/" + "x" * (106 - len(str(ipc_dir)))
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(f"ipc://{path}"))
        await tx.send(b"x")
        assert await rx.recv() == b"x"


async def test_relative_ipc_path_is_bound_and_removed(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ipc_dir)
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        assert rx.bind("ipc://here") == "ipc://here"
        tx.connect("ipc://here")
        await tx.send(b"x")
        assert await rx.recv() == b"x"
        monkeypatch.chdir("/")
        rx.close()
        assert not (ipc_dir / "here").exists()


async def test_socket_file_belongs_to_its_user_alone(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(ipc("a"))
        assert stat.S_IMODE(path_of(endpoint).stat().st_mode) == 0o600


async def test_missing_directory_is_an_os_error(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(FileNotFoundError):
            rx.bind(ipc("missing/a"))


async def test_endpoint_in_use_is_never_stolen(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind(address)
        other = ctx.socket(backend.PULL)
        for _ in range(2):
            with pytest.raises(AddressInUseError) as caught:
                other.bind(endpoint)
            assert caught.value.endpoint == endpoint
            assert isinstance(caught.value, OSError)
        tx.connect(endpoint)
        await tx.send(b"still mine")
        assert await rx.recv() == b"still mine"


async def test_socket_file_of_a_dead_owner_is_replaced(
    backend: ModuleType, ipc: Ipc
) -> None:
    endpoint = ipc("a")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path_of(endpoint)))
    dead.listen()
    dead.close()
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(endpoint))
        await tx.send(b"x")
        assert await rx.recv() == b"x"


@pytest.mark.parametrize("kind", ["file", "directory"])
async def test_what_is_no_socket_is_left_alone(
    backend: ModuleType, ipc: Ipc, kind: str
) -> None:
    path = path_of(ipc("a"))
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
    async with backend.Context() as ctx:
        with pytest.raises(AddressInUseError):
            ctx.socket(backend.PULL).bind(ipc("a"))
    assert path.is_dir() or path.read_text() == "precious"


async def test_socket_file_goes_with_unbind_and_with_close(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        first, second = rx.bind(ipc("a")), rx.bind(ipc("b"))
        rx.unbind(first)
        assert not path_of(first).exists()
        assert path_of(second).exists()
        rx.close()
        assert not path_of(second).exists()


async def test_file_of_a_successor_is_left_at_close(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        old, new = ctx.socket(backend.PULL), ctx.socket(backend.PULL)
        endpoint = old.bind(ipc("a"))
        path_of(endpoint).unlink()
        new.bind(endpoint)
        old.close()
        assert path_of(endpoint).exists()


def test_forked_child_leaves_the_socket_file(backend: ModuleType, ipc: Ipc) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(ipc("a"))
        pid = os.fork()
        if pid == 0:
            del rx, ctx
            gc.collect()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert path_of(endpoint).exists()


async def test_unbind_keeps_peers_and_frees_the_endpoint(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        await eventually(lambda: rx.statistics().num_peers == 1)
        rx.unbind(endpoint)
        await tx.send(b"x")
        assert await rx.recv() == b"x"
        successor = ctx.socket(backend.PULL)
        assert successor.bind(endpoint) == endpoint


async def test_unbind_and_disconnect_of_nothing_are_misuse(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        rx.bind("tcp://127.0.0.1:0")
        with pytest.raises(LocalProtocolError):
            rx.unbind("tcp://127.0.0.1:1")
        with pytest.raises(LocalProtocolError):
            rx.disconnect("tcp://127.0.0.1:1")


async def test_disconnect_ends_one_connection(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        receivers = [ctx.socket(backend.PULL) for _ in range(2)]
        for name, rx in zip("ab", receivers, strict=True):
            tx.connect(rx.bind(ipc(name)))
        await eventually(lambda: tx.statistics().num_peers == 2)
        tx.disconnect(ipc("a"))
        await eventually(lambda: receivers[0].statistics().num_peers == 0)
        for index in range(4):
            await tx.send(bytes((index,)))
        assert [await receivers[1].recv() for _ in range(4)] == [
            b"\0",
            b"\1",
            b"\2",
            b"\3",
        ]
        tx.disconnect(ipc("b"))
        with pytest.raises(LocalProtocolError):
            tx.disconnect(ipc("b"))


async def test_what_a_disconnected_peer_had_not_got_goes_to_another(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        path = str(path_of(ipc("stalled")))
        with socket.socket(socket.AF_UNIX) as stalled:
            stalled.bind(path)
            stalled.listen()
            tx.connect(ipc("stalled"))
            for index in range(10):
                tx.send_nowait(bytes((index,)))
            tx.disconnect(ipc("stalled"))
        os.unlink(path)
        tx.connect(rx.bind(ipc("a")))
        assert [(await rx.recv())[0] for _ in range(10)] == list(range(10))


async def test_tcp_endpoint_is_free_after_close(
    backend: ModuleType, own_port: int
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind(f"tcp://127.0.0.1:{own_port}")
        tx.connect(endpoint)
        await tx.send(b"x")
        await rx.recv()
        rx.close()
        again = ctx.socket(backend.PULL)
        assert again.bind(endpoint) == endpoint
        await tx.send(b"y")
        assert await again.recv() == b"y"


# The interpreter that runs the tests may lie where another user cannot read.
SYSTEM_PYTHON = "/usr/bin/python3"
PUBLIC_PYTHON = SYSTEM_PYTHON if os.path.exists(SYSTEM_PYTHON) else sys.executable
CONNECT_AS_ANOTHER_USER = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.settimeout(20)
sys.exit(peer.recv(1) != b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_peer_of_another_user_is_refused(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        path = path_of(rx.bind(ipc("a")))
        path.parent.chmod(0o711)
        path.chmod(0o666)
        child = await asyncio.to_thread(
            subprocess.Popen,
            [PUBLIC_PYTHON, "-c", CONNECT_AS_ANOTHER_USER, str(path)],
            user=65534,
            group=65534,
            cwd="/",
        )
        try:
            await eventually(lambda: rx.statistics().num_refused == 1)
        finally:
            assert await asyncio.to_thread(child.wait) == 0
        assert isinstance(rx.recent_errors()[-1], AuthError)
        assert rx.statistics().num_accepted == 0


LISTEN_AS_ANOTHER_USER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
listener.settimeout(20)
peer, _ = listener.accept()
peer.settimeout(20)
sys.exit(peer.recv(1) != b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_listener_of_another_user_is_told_nothing(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        endpoint = ipc("a")
        path = path_of(endpoint)
        path.parent.chmod(0o777)
        tx = ctx.socket(backend.PUSH, linger=0, reconnect_interval=0.01)
        child = await asyncio.to_thread(
            subprocess.Popen,
            [PUBLIC_PYTHON, "-c", LISTEN_AS_ANOTHER_USER, str(path)],
            user=65534,
            group=65534,
            cwd="/",
        )
        try:
            await tx.send(b"secret")
            tx.connect(endpoint)
            await eventually(lambda: tx.statistics().num_refused > 0)
        finally:
            assert await asyncio.to_thread(child.wait) == 0
            path.unlink()
        assert isinstance(tx.recent_errors()[-1], AuthError)
        assert tx.statistics().num_connected == 0
        assert tx.undelivered() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", 99),
        ("hwm_messages", 0),
        ("hwm_messages", -1),
        ("hwm_bytes", 0),
        ("linger", -1.0),
        ("linger", float("nan")),
        ("max_message_bytes", 0),
        ("max_parts", 0),
        ("max_peers", 0),
        ("handshake_timeout", 0.0),
        ("reconnect_interval", 0.0),
        ("reconnect_max", 0.01),
    ],
)
async def test_option_out_of_range_is_a_config_error(
    backend: ModuleType, name: str, value: float
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError):
            ctx.socket(**({"kind": backend.PULL} | {name: value}))
