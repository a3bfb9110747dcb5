"""One wait for many sockets and descriptors."""

import asyncio
import os
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, ConfigError, LocalProtocolError
from busduct.transport import POLLIN, POLLOUT, Poller

PATIENCE = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe's two ends."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def pair(backend: ModuleType, ctx: Any, **options: Any) -> tuple[Any, Any]:
    rx, tx = (
        ctx.socket(backend.PULL, hwm_messages=1),
        ctx.socket(backend.PUSH, **options),
    )
    tx.connect(rx.bind("tcp://127.0.0.1:0"))
    return rx, tx


def test_poll_tells_which_sockets_of_which_contexts_are_ready(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        first, to_first = pair(backend, ctx)
        second, to_second = pair(backend, other)
        poller = Poller(ctx, other)
        poller.register(first)
        poller.register(second, POLLIN)
        assert poller.poll(0) == []
        to_second.send_blocking(b"x", timeout=PATIENCE)
        assert poller.poll(PATIENCE) == [(second, POLLIN)]
        # Level-triggered: nothing was taken.
        assert poller.poll(PATIENCE) == [(second, POLLIN)]
        assert second.recv_nowait() == b"x"
        assert poller.poll(0) == []
        to_first.send_nowait(b"y")
        to_second.send_nowait(b"y")
        while len(ready := poller.poll(PATIENCE)) < 2:
            pass
        assert ready == [(first, POLLIN), (second, POLLIN)]


def test_poll_wakes_when_another_process_sends(backend: ModuleType) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        rx, _ = pair(backend, ctx)
        idle, _ = pair(backend, other)
        endpoint = rx.last_endpoint
        pid = os.fork()
        if pid == 0:
            with backend.Context() as own:
                tx = own.socket(backend.PUSH)
                tx.connect(endpoint)
                tx.send_blocking(b"x", timeout=PATIENCE)
            os._exit(0)
        poller = Poller(ctx, other)
        poller.register(rx)
        poller.register(idle)
        assert poller.poll(PATIENCE) == [(rx, POLLIN)]
        os.waitpid(pid, 0)


def test_socket_that_may_send_is_ready_for_that(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx, tx = pair(backend, ctx, hwm_messages=1, send_buffer_bytes=4096)
        poller = Poller(ctx)
        poller.register(tx, POLLOUT)
        assert poller.poll(PATIENCE) == [(tx, POLLOUT)]
        while poller.poll(0.05):
            tx.send_nowait(bytes(1 << 20))
        poller.unregister(tx)
        poller.register(rx, POLLIN)
        assert poller.poll(PATIENCE) == [(rx, POLLIN)]
        poller.register(tx, POLLOUT)
        while not any(target is tx for target, _ in poller.poll(PATIENCE)):
            rx.recv_nowait()
        poller.unregister(rx)
        dealer = ctx.socket(backend.DEALER)
        dealer.bind("tcp://127.0.0.1:0")
        poller.register(dealer, POLLIN | POLLOUT)
        assert (dealer, POLLOUT) in poller.poll(PATIENCE)


def test_poll_watches_descriptors(backend: ModuleType, pipe: tuple[int, int]) -> None:
    left, right = sockets.socketpair()
    with backend.Context() as ctx, left, right:
        rx, tx = pair(backend, ctx)
        poller = Poller(ctx)
        for target, events in (
            (pipe[0], POLLIN),
            (left, POLLIN | POLLOUT),
            (rx, POLLIN),
        ):
            poller.register(target, events)
        assert len(poller) == 3
        assert poller.poll(PATIENCE) == [(left, POLLOUT)]
        os.write(pipe[1], b"x")
        right.send(b"x")
        ready = poller.poll(PATIENCE)
        assert sorted(ready, key=str) == sorted(
            [(pipe[0], POLLIN), (left, POLLIN | POLLOUT)], key=str
        )
        tx.send_blocking(b"x", timeout=PATIENCE)
        while (rx, POLLIN) not in poller.poll(PATIENCE):
            pass
        poller.register(left, POLLIN)
        left.recv(1)
        os.read(pipe[0], 1)
        poller.unregister(rx)
        assert poller.poll(0) == []
        # The end of a stream can be read.
        right.close()
        assert poller.poll(PATIENCE) == [(left, POLLIN)]


def test_poll_returns_nothing_once_the_time_is_over(
    backend: ModuleType, pipe: tuple[int, int]
) -> None:
    with backend.Context() as ctx:
        rx, _ = pair(backend, ctx)
        poller = Poller(ctx)
        poller.register(rx)
        poller.register(pipe[0])
        start = time.monotonic()
        assert poller.poll(0.05) == []
        assert 0.05 <= time.monotonic() - start < PATIENCE


def test_poll_without_a_bound_costs_no_cpu(
    backend: ModuleType, pipe: tuple[int, int]
) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        poller = Poller(ctx, other)
        for context in (ctx, other):
            poller.register(pair(backend, context)[0])
        poller.register(pipe[0])
        poller.poll(0.2)
        before = time.process_time()
        assert poller.poll(0.5) == []
        assert time.process_time() - before < 0.1


def test_connector_that_has_to_try_again_does_so_while_polled(
    backend: ModuleType, ipc_dir: Any, pipe: tuple[int, int]
) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        endpoint = f"ipc://{ipc_dir}/late"
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.05, linger=0)
        tx.connect(endpoint)
        assert tx.send_nowait(b"x") is None
        # Both attempts that were due are over, and the next is put off.
        while not tx.statistics().num_retries:
            ctx.run_once(0.01)
        rx = other.socket(backend.PULL)
        rx.bind(endpoint)
        poller = Poller(ctx, other)
        poller.register(rx)
        poller.register(ctx.socket(backend.PULL))
        poller.register(pipe[0])
        assert poller.poll(PATIENCE) == [(rx, POLLIN)]


def test_context_that_was_polled_costs_a_loop_no_cpu(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        # Something is always due, soon.
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.3, reconnect_max=0.3)
        tx.connect("tcp://127.0.0.1:1")
        poller = Poller(ctx)
        poller.register(ctx.socket(backend.PULL))
        assert poller.poll(0.1) == []

        async def idle() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ctx.socket(backend.PULL).recv(), 1.0)

        before = time.process_time()
        asyncio.run(idle())
        assert time.process_time() - before < 0.3


def test_closed_socket_is_ready(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx, tx = pair(backend, ctx)
        poller = Poller(ctx)
        poller.register(rx, POLLIN | POLLOUT)
        rx.close()
        assert poller.poll(PATIENCE) == [(rx, POLLIN | POLLOUT)]
        with pytest.raises(ClosedError):
            rx.recv_nowait()
        tx.close(linger=0)


def test_misuse_is_refused(backend: ModuleType) -> None:
    with backend.Context() as ctx, backend.Context() as other:
        rx, tx = pair(backend, ctx)
        poller = Poller(other)
        with pytest.raises(LocalProtocolError, match="nothing is registered"):
            poller.poll(0)
        for events in (0, 4, 7):
            with pytest.raises(ConfigError, match=f"events is {events}"):
                poller.register(rx, events)
        poller.register(rx)
        with pytest.raises(ConfigError, match="not given"):
            poller.poll(0)
        for target in (tx, 0):
            with pytest.raises(LocalProtocolError, match="not registered"):
                poller.unregister(target)


@pytest.mark.usefixtures("any_loop")
async def test_async_poll_needs_no_contexts(
    backend: ModuleType, pipe: tuple[int, int]
) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        first, _ = pair(backend, ctx)
        second, to_second = pair(backend, other)
        poller = Poller()
        for target in (first, second, pipe[0]):
            poller.register(target)
        assert await poller.poll_async(0) == []
        assert await poller.poll_async(0.05) == []
        waiting = asyncio.ensure_future(poller.poll_async())
        await settle()
        await to_second.send(b"x")
        assert await waiting == [(second, POLLIN)]
        assert await poller.poll_async() == [(second, POLLIN)]
        assert await second.recv() == b"x"
        waiting = asyncio.ensure_future(poller.poll_async())
        await settle()
        os.write(pipe[1], b"x")
        assert await waiting == [(pipe[0], POLLIN)]


@pytest.mark.usefixtures("any_loop")
async def test_cancelled_async_poll_leaves_everything_as_it_was(
    backend: ModuleType, pipe: tuple[int, int]
) -> None:
    async with backend.Context() as ctx:
        rx, tx = pair(backend, ctx)
        poller = Poller()
        poller.register(rx, POLLIN)
        poller.register(pipe[0])
        for num_turns in range(20):
            waiting = asyncio.ensure_future(poller.poll_async())
            await settle(num_turns)
            await tx.send(b"x")
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            assert await rx.recv() == b"x"
        taking = asyncio.ensure_future(rx.recv())
        await settle()
        waiting = asyncio.ensure_future(poller.poll_async())
        await settle()
        # The poll takes nothing from who takes.
        await tx.send(b"y")
        assert await taking == b"y"
        waiting.cancel()


@pytest.mark.usefixtures("any_loop")
async def test_socket_closed_during_an_async_poll_is_ready(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, _ = pair(backend, ctx)
        poller = Poller()
        poller.register(rx)
        waiting = asyncio.ensure_future(poller.poll_async())
        await settle()
        rx.close()
        assert await waiting == [(rx, POLLIN)]


@pytest.mark.usefixtures("any_loop")
async def test_async_poll_tells_of_room(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = pair(backend, ctx, hwm_messages=1, send_buffer_bytes=4096)
        poller = Poller()
        poller.register(tx, POLLOUT)
        while await poller.poll_async(0.05):
            tx.send_nowait(bytes(1 << 20))
        waiting = asyncio.ensure_future(poller.poll_async())
        await eventually(lambda: rx.recv_nowait() is None or waiting.done())
        while not waiting.done():
            await rx.recv()
            await settle()
        assert await waiting == [(tx, POLLOUT)]
