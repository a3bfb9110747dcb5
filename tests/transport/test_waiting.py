"""Waits that end in odd ways: who can go on does, and nothing else keeps busy."""

import asyncio
import gc
import os
import select
import socket
from pathlib import Path
from types import ModuleType

import pytest
from tests.transport.waiting import eventually, settle

from busduct.errors import FrameTooLargeError, LocalProtocolError

native_only = pytest.mark.parametrize("backend", ["rust"], indirect=True)


def _sockets() -> set[int]:
    """Give the descriptors of this process that are sockets."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            is_socket = str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:
            # The directory's own descriptor.
            continue
        if is_socket:
            found.add(int(entry.name))
    return found


def _is_quiet(context: object) -> bool:
    """Turn a context over; tell whether it then has nothing to do."""
    for _ in range(10):
        context.run_once(0.0)  # type: ignore[attr-defined]
    return not select.select([context], [], [], 0.0)[0]


async def test_receiver_that_fails_on_a_multipart_message_leaves_it_to_the_next(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        single = asyncio.ensure_future(rx.recv())
        multi = asyncio.ensure_future(rx.recv_multipart())
        await settle()
        await tx.send_multipart([b"a", b"b"])
        with pytest.raises(LocalProtocolError):
            await asyncio.wait_for(single, 20)
        assert await asyncio.wait_for(multi, 20) == [b"a", b"b"]


@native_only
async def test_messages_before_one_that_is_refused_are_sent(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        rx = other.socket(backend.PULL)
        tx = ctx.socket(backend.PUSH, max_message_bytes=10)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await eventually(lambda: tx.statistics().num_peers == 1)
        with pytest.raises(FrameTooLargeError):
            await tx.send_many([b"fits", b"x" * 11])
        assert await asyncio.wait_for(rx.recv(), 20) == b"fits"


@native_only
async def test_wait_for_a_socket_whose_object_is_gone_goes_on(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))

        async def wait(awaitable: object) -> object:
            return await awaitable  # type: ignore[misc]

        waiting = asyncio.ensure_future(wait(rx.recv()))
        await settle()
        del rx
        gc.collect()
        await tx.send(b"late")
        assert await asyncio.wait_for(waiting, 20) == b"late"


@native_only
@pytest.mark.parametrize("ends", ["link", "listener"])
def test_what_a_forked_child_holds_open_keeps_nobody_busy(
    backend: ModuleType, ends: str
) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        before = _sockets()
        rx, tx = ctx.socket(backend.PULL), other.socket(backend.PUSH)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        tx.connect(endpoint)
        while not rx.statistics().num_peers or not tx.statistics().num_peers:
            ctx.run_once(0.01)
            other.run_once(0.01)
        # As a child does: what one closes stays open.
        held = [os.dup(fd) for fd in _sockets() - before]
        try:
            if ends == "link":
                rx.close(linger=0.0)
                tx.send_nowait(b"to nobody")
                other.run_once(0.0)
                assert _is_quiet(ctx)
            else:
                rx.unbind(endpoint)
                port = int(endpoint.rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)):
                    assert _is_quiet(ctx)
        finally:
            for fd in held:
                os.close(fd)
