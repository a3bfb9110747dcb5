"""Cancelling a wait loses no message and accepts none."""

import asyncio
import random
from types import ModuleType

import pytest
from tests.transport.waiting import eventually, settle

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_cancelled_recv_loses_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        waiting = asyncio.ensure_future(rx.recv())
        await settle()
        waiting.cancel()
        await tx.send(b"kept")
        assert await rx.recv() == b"kept"


async def test_wake_up_of_a_cancelled_receiver_is_passed_on(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        first = asyncio.ensure_future(rx.recv())
        second = asyncio.ensure_future(rx.recv())
        await settle()
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        tx.send_nowait(b"for whoever is left")
        # Turned over by hand, so that the first is woken and has not run.
        while not rx.statistics().num_recv_queued:
            ctx.run_once(1.0)
        first.cancel()
        assert await asyncio.wait_for(second, 20) == b"for whoever is left"
        assert first.cancelled()


async def test_timeouts_in_a_loop_lose_nothing(backend: ModuleType) -> None:
    num_messages, received = 300, []
    chance = random.Random(7)
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=10)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))

        async def produce() -> None:
            for index in range(num_messages):
                await tx.send(str(index).encode())
                await settle(chance.randrange(4))

        producing = asyncio.ensure_future(produce())
        while len(received) < num_messages:
            try:
                received.append(
                    await asyncio.wait_for(rx.recv(), chance.random() / 5000)
                )
            except TimeoutError:
                continue
        await producing
    assert received == [str(index).encode() for index in range(num_messages)]


async def test_receivers_cancelled_at_random_lose_nothing(backend: ModuleType) -> None:
    chance = random.Random(3)
    received: list[bytes] = []
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))

        async def take() -> None:
            received.append(await rx.recv())

        for index in range(200):
            takers = [asyncio.ensure_future(take()) for _ in range(3)]
            await tx.send(str(index).encode())
            await settle(chance.randrange(6))
            for taker in takers:
                taker.cancel()
            await asyncio.gather(*takers, return_exceptions=True)
        while len(received) < 200:
            await take()
    assert sorted(received, key=int) == [str(index).encode() for index in range(200)]


async def test_cancelled_send_accepts_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=1)
        tx.send_nowait(b"first")
        waiting = asyncio.ensure_future(tx.send(b"withdrawn"))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert await rx.recv() == b"first"
        await tx.send(b"second")
        assert await rx.recv() == b"second"


async def test_wake_up_of_a_cancelled_sender_is_passed_on(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=1)
        tx.send_nowait(b"first")
        gone = asyncio.ensure_future(tx.send(b"withdrawn"))
        stays = asyncio.ensure_future(tx.send(b"second"))
        await settle()
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        while tx.statistics().num_messages_sent == 0:
            ctx.run_once(1.0)
        gone.cancel()
        await asyncio.wait_for(stays, 20)
        assert [await rx.recv(), await rx.recv()] == [b"first", b"second"]


async def test_cancelled_send_many_accepts_a_prefix(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=4)
        waiting = asyncio.ensure_future(tx.send_many([b"0", b"1", b"2", b"3", b"4"]))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert [await rx.recv() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        await eventually(lambda: tx.statistics().num_send_queued == 0)
        assert tx.statistics().num_messages_sent == 4


async def test_operation_that_was_never_awaited_does_nothing(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        rx.recv()
        tx.send(b"never")
        await tx.send(b"x")
        assert await rx.recv() == b"x"


async def test_operation_can_be_awaited_once(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        sending = tx.send(b"x")
        await sending
        with pytest.raises(RuntimeError):
            await sending
        assert tx.statistics().num_send_queued == 1
