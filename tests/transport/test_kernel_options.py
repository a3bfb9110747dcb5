"""Options that the kernel carries out are really set on the descriptors."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import turn_until

KEEPALIVE = {
    "tcp_keepalive_idle": 41.0,
    "tcp_keepalive_interval": 7.0,
    "tcp_keepalive_count": 5,
}


def socket_fds() -> set[int]:
    """Return the descriptors of this process that are sockets."""
    fds = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                fds.add(int(name))
    return fds


@contextmanager
def opened(before: set[int]) -> Iterator[list[socket.socket]]:
    """Give copies of the sockets that are open now and were not before."""
    with ExitStack() as stack:
        fds = sorted(socket_fds() - before)
        yield [stack.enter_context(socket.socket(fileno=os.dup(fd))) for fd in fds]


def listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


@contextmanager
def connection(
    backend: ModuleType, address: str, **options: Any
) -> Iterator[list[socket.socket]]:
    """Give both ends of a connection between two sockets with these options."""
    before = socket_fds()
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, **options)
        tx = ctx.socket(backend.PUSH, **options)
        tx.connect(rx.bind(address))
        turn_until(ctx, lambda: rx.statistics().num_peers == 1)
        turn_until(ctx, lambda: tx.statistics().num_peers == 1)
        with opened(before) as socks:
            ends = [sock for sock in socks if not listens(sock)]
            assert len(ends) == 2
            yield ends


def keepalive_of(sock: socket.socket) -> tuple[int, int, int, int]:
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    )


def test_keepalive_is_set_on_both_ends(backend: ModuleType) -> None:
    with connection(backend, "tcp://127.0.0.1:0", **KEEPALIVE) as ends:
        assert [keepalive_of(end) for end in ends] == [(1, 41, 7, 5)] * 2


def test_without_idle_the_kernel_does_not_probe(backend: ModuleType) -> None:
    with connection(backend, "tcp://127.0.0.1:0", tcp_keepalive_count=5) as ends:
        assert [keepalive_of(end)[0] for end in ends] == [0, 0]


def test_keepalive_is_rounded_to_whole_seconds(backend: ModuleType) -> None:
    rounded = {"tcp_keepalive_idle": 1.4, "tcp_keepalive_interval": 2.5}
    with connection(backend, "tcp://127.0.0.1:0", **rounded) as ends:
        assert [keepalive_of(end) for end in ends] == [(1, 1, 3, 3)] * 2


def test_keepalive_beyond_the_kernels_bounds_is_the_most_it_takes(
    backend: ModuleType,
) -> None:
    most = {
        "tcp_keepalive_idle": 1e9,
        "tcp_keepalive_interval": float("inf"),
        "tcp_keepalive_count": 100_000,
    }
    with connection(backend, "tcp://127.0.0.1:0", **most) as ends:
        assert [keepalive_of(end) for end in ends] == [(1, 32767, 32767, 127)] * 2


def test_keepalive_means_nothing_to_ipc(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    with connection(backend, ipc("a"), **KEEPALIVE) as ends:
        assert {end.family for end in ends} == {socket.AF_UNIX}


def buffers_of(sock: socket.socket) -> tuple[int, int]:
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
    )


def test_buffers_are_set_on_both_ends(backend: ModuleType, address: str) -> None:
    sizes = {"send_buffer_bytes": 30_000, "recv_buffer_bytes": 50_000}
    with connection(backend, address, **sizes) as ends:
        # The kernel doubles what it is told, for its own use.
        assert [buffers_of(end) for end in ends] == [(60_000, 100_000)] * 2


def test_listener_has_the_buffers_that_its_connections_inherit(
    backend: ModuleType,
) -> None:
    before = socket_fds()
    with backend.Context() as ctx:
        rx = ctx.socket(
            backend.PULL, send_buffer_bytes=30_000, recv_buffer_bytes=50_000
        )
        rx.bind("tcp://127.0.0.1:0")
        with opened(before) as (listener,):
            assert buffers_of(listener) == (60_000, 100_000)


def test_buffers_of_tcp_are_left_to_the_kernel(backend: ModuleType) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        plain = stack.enter_context(socket.create_connection(server.getsockname()))
        accepted = stack.enter_context(server.accept()[0])
        chosen = {buffers_of(plain), buffers_of(accepted)}
    with connection(backend, "tcp://127.0.0.1:0") as ends:
        assert {buffers_of(end) for end in ends} <= chosen


def test_ipc_holds_what_the_marks_can_bear(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    most = int(Path("/proc/sys/net/core/wmem_max").read_text())
    with connection(backend, ipc("a"), recv_buffer_bytes=50_000) as ends:
        chosen = {"rust": 1 << 19, "python": 1 << 20}[backend.BACKEND]
        expected = 2 * min(chosen, most)
        assert [buffers_of(end) for end in ends] == [(expected, 100_000)] * 2


def test_buffers_beyond_what_the_system_allows_are_what_it_allows(
    backend: ModuleType, address: str
) -> None:
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    sizes = {"send_buffer_bytes": 1 << 40, "recv_buffer_bytes": 1 << 40}
    with connection(backend, address, **sizes) as ends:
        assert [buffers_of(end)[1] for end in ends] == [2 * most] * 2


def tcp_backlog(listener: socket.socket) -> int:
    """Return how many connections a TCP listener lets wait: tcpi_sacked."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 28)[0])


@pytest.mark.parametrize("backlog", [1, 7])
def test_backlog_of_a_tcp_listener(backend: ModuleType, backlog: int) -> None:
    before = socket_fds()
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, backlog=backlog)
        rx.bind("tcp://127.0.0.1:0")
        with opened(before) as (listener,):
            assert tcp_backlog(listener) == backlog


def test_backlog_beyond_what_the_system_allows_is_what_it_allows(
    backend: ModuleType,
) -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    before = socket_fds()
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, backlog=1 << 40)
        rx.bind("tcp://127.0.0.1:0")
        with opened(before) as (listener,):
            assert tcp_backlog(listener) == most


@pytest.mark.parametrize("backlog", [1, 7])
def test_backlog_of_an_ipc_listener(
    backend: ModuleType, ipc: Callable[[str], str], backlog: int
) -> None:
    with backend.Context() as ctx, ExitStack() as stack:
        rx = ctx.socket(backend.PULL, backlog=backlog)
        path = rx.bind(ipc("a")).removeprefix("ipc://")
        num_waiting = 0
        # Nobody accepts meanwhile: the context is not turned over.
        with suppress(BlockingIOError):
            while num_waiting <= backlog + 1:
                peer = stack.enter_context(socket.socket(socket.AF_UNIX))
                peer.setblocking(False)
                peer.connect(path)
                num_waiting += 1
        # The kernel lets one more in than it is told.
        assert num_waiting == backlog + 1
