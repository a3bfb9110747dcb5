"""A context belongs to one thread at a time, one loop, one process."""

import asyncio
import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from busduct.errors import ForkedError, LocalProtocolError


def outcome_in_thread(call: Callable[[], Any]) -> BaseException | None:
    """Return what `call` raises in another thread."""
    raised: list[BaseException | None] = [None]

    def run() -> None:
        try:
            call()
        except Exception as error:
            raised[0] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0]


def test_call_from_another_thread_amid_a_blocking_call_is_misuse(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        raised: list[Exception] = []

        def intrude() -> None:
            while not raised:
                try:
                    tx.statistics()
                except LocalProtocolError as error:
                    raised.append(error)
            with backend.Context() as own:
                helper = own.socket(backend.PUSH)
                helper.connect(endpoint)
                helper.send_blocking(b"done", timeout=20)

        thread = threading.Thread(target=intrude)
        thread.start()
        while True:
            try:
                received = rx.recv_blocking(timeout=30)
                break
            except LocalProtocolError:
                # The other thread came first this time.
                continue
        thread.join()
        assert received == b"done"
        assert isinstance(raised[0], LocalProtocolError)


def test_context_may_move_between_threads_that_take_turns(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert outcome_in_thread(lambda: tx.send_blocking(b"x", timeout=20)) is None
        assert rx.recv_blocking(timeout=20) == b"x"


async def test_context_of_a_running_loop_is_not_for_another_thread(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"x")

        def use_in_a_loop() -> None:
            async def use() -> None:
                await tx.send(b"y")
                await rx.recv()

            asyncio.run(use())

        error = await asyncio.to_thread(outcome_in_thread, use_in_a_loop)
        assert isinstance(error, LocalProtocolError)
        assert await rx.recv() == b"x"


def test_context_goes_from_one_loop_to_the_next(backend: ModuleType) -> None:
    ctx = backend.Context()
    rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)

    async def first() -> None:
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"one")
        assert await rx.recv() == b"one"
        await tx.send(b"two")

    async def second() -> None:
        assert await rx.recv() == b"two"
        await ctx.aclose()

    asyncio.run(first())
    asyncio.run(second())


def test_wait_outside_asyncio_is_misuse(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(LocalProtocolError, match="asyncio"):
            next(iter(rx.recv().__await__()))


def outcome_in_child(call: Callable[[], Any]) -> int:
    """Return 0 if `call` raises ForkedError in a forked child."""
    pid = os.fork()
    if pid == 0:
        try:
            call()
        except ForkedError:
            os._exit(0)
        except BaseException:
            os._exit(2)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    "name",
    [
        "send_nowait",
        "recv_nowait",
        "recv_blocking",
        "bind",
        "connect",
        "statistics",
        "run_once",
        "socket",
        "close_socket",
        "close_context",
    ],
)
def test_forked_child_may_not_use_the_context(backend: ModuleType, name: str) -> None:
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        calls: dict[str, Callable[[], Any]] = {
            "send_nowait": lambda: tx.send_nowait(b"x"),
            "recv_nowait": rx.recv_nowait,
            "recv_blocking": lambda: rx.recv_blocking(timeout=0),
            "bind": lambda: rx.bind("tcp://127.0.0.1:0"),
            "connect": lambda: tx.connect("tcp://127.0.0.1:1"),
            "statistics": rx.statistics,
            "run_once": ctx.run_once,
            "socket": lambda: ctx.socket(backend.PULL),
            "close_socket": rx.close,
            "close_context": ctx.close,
        }
        assert outcome_in_child(calls[name]) == 0
        tx.send_blocking(b"the parent goes on", timeout=20)
        assert rx.recv_blocking(timeout=20) == b"the parent goes on"


def test_forked_child_may_make_its_own_context(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        pid = os.fork()
        if pid == 0:
            try:
                with backend.Context() as own:
                    tx = own.socket(backend.PUSH)
                    tx.connect(endpoint)
                    tx.send_blocking(b"from the child", timeout=20)
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert rx.recv_blocking(timeout=20) == b"from the child"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
