"""The same sockets from code without an event loop."""

import contextlib
import select
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import turn_until

from busduct.errors import WaitTimeoutError


@contextlib.contextmanager
def pair(backend: ModuleType, address: str) -> Iterator[tuple[Any, Any, Any]]:
    """Give a context and both ends of a connection in it."""
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(address))
        yield ctx, rx, tx


def test_message_arrives(backend: ModuleType, address: str) -> None:
    with pair(backend, address) as (_, rx, tx):
        tx.send_blocking(b"one")
        tx.send_multipart_blocking([b"two", bytes(300_000)], timeout=20)
        tx.send_nowait(b"three")
        assert rx.recv_blocking(timeout=20) == b"one"
        assert rx.recv_multipart_blocking() == [b"two", bytes(300_000)]
        assert rx.recv_many_blocking(timeout=20) == [b"three"]


def test_more_than_the_kernel_holds_arrives(backend: ModuleType, address: str) -> None:
    with pair(backend, address) as (_, rx, tx):
        message = bytes(40 << 20)
        tx.send_blocking(message)
        assert rx.recv_blocking(timeout=20) == message


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_recv_that_gets_nothing_times_out(
    backend: ModuleType, address: str, timeout: float
) -> None:
    with pair(backend, address) as (_, rx, _):
        for receive in (
            rx.recv_blocking,
            rx.recv_multipart_blocking,
            rx.recv_many_blocking,
        ):
            with pytest.raises(WaitTimeoutError) as caught:
                receive(timeout=timeout)
            assert caught.value.timeout == timeout
            assert isinstance(caught.value, TimeoutError)


def test_send_without_room_times_out(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=1, linger=0)
        tx.send_blocking(b"x")
        with pytest.raises(WaitTimeoutError):
            tx.send_blocking(b"y", timeout=0.02)
        tx.close()
        assert tx.undelivered() == [[b"x"]]


def test_recv_nowait_sees_what_run_once_read(backend: ModuleType, address: str) -> None:
    with pair(backend, address) as (ctx, rx, tx):
        assert rx.recv_nowait() is None
        tx.send_nowait(b"one")
        assert turn_until(ctx, rx.recv_nowait) == b"one"
        tx.send_nowait(b"two")
        assert turn_until(ctx, rx.recv_many_nowait) == [b"two"]


def test_descriptor_tells_when_there_is_work(backend: ModuleType, address: str) -> None:
    with pair(backend, address) as (ctx, rx, tx):
        turn_until(ctx, lambda: tx.statistics().num_peers and rx.statistics().num_peers)
        ctx.run_once()
        assert rx.fileno() == tx.fileno() == ctx.fileno()
        assert select.select([ctx.fileno()], [], [], 0)[0] == []
        tx.send_nowait(b"x")
        assert select.select([ctx.fileno()], [], [], 20)[0] == [ctx.fileno()]
        ctx.run_once()
        assert rx.statistics().num_recv_queued == 1


def test_two_threads_talk_through_their_own_contexts(
    backend: ModuleType, address: str
) -> None:
    with backend.Context() as ctx:
        server = ctx.socket(backend.ROUTER)
        endpoint = server.bind(address)
        replies = []

        def ask() -> None:
            with backend.Context() as own:
                client = own.socket(backend.DEALER)
                client.connect(endpoint)
                for index in range(100):
                    client.send_blocking(str(index).encode(), timeout=20)
                    replies.append(client.recv_blocking(timeout=20))

        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(100):
            sender, text = server.recv_multipart_blocking(timeout=20)
            server.send_multipart_blocking([sender, b"re " + text], timeout=20)
        thread.join()
        assert replies == [f"re {index}".encode() for index in range(100)]


async def test_blocking_call_works_within_a_running_loop(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"one")
        assert rx.recv_blocking(timeout=20) == b"one"
        tx.send_blocking(b"two", timeout=20)
        assert await rx.recv() == b"two"
