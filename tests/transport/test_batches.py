"""Batches: what comes to a socket, in lists, until the socket is closed."""

import asyncio
from types import ModuleType
from typing import Any

import pytest

from busduct.errors import ConfigError, LocalProtocolError

pytestmark = pytest.mark.usefixtures("any_loop")


def ends(backend: ModuleType, ctx: Any, **options: Any) -> tuple[Any, Any]:
    """Return a PUSH and the PULL that it sends to."""
    tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL, **options)
    tx.connect(rx.bind("inproc://a"))
    return tx, rx


async def test_batches_hold_all_that_came_in_order(
    backend: ModuleType, address: str
) -> None:
    numbers = [b"%d" % number for number in range(5000)]
    came: list[bytes] = []
    async with backend.Context() as ctx, backend.Context() as other:
        rx = ctx.socket(backend.PULL)
        tx = other.socket(backend.PUSH)
        tx.connect(rx.bind(address))
        sending = asyncio.ensure_future(tx.send_many(numbers))
        async for batch in rx.batches():
            assert batch
            came += batch
            if len(came) == len(numbers):
                break
        await sending
    assert came == numbers


async def test_batch_is_no_larger_than_asked_for(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        await tx.send_many([b"12345"] * 10)
        assert await anext(rx.batches(max_n=3)) == [b"12345"] * 3
        # The message that reaches the limit is the last to join.
        assert await anext(rx.batches(max_bytes=6)) == [b"12345"] * 2
        assert await anext(rx.batches(max_n=4, max_bytes=1)) == [b"12345"]
        assert await anext(rx.batches()) == [b"12345"] * 4


async def test_iteration_ends_when_the_socket_is_closed(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        await tx.send(b"text")

        async def take_all() -> list[bytes]:
            return [message async for batch in rx.batches() for message in batch]

        taking = asyncio.ensure_future(take_all())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rx.close()
        assert await taking == [b"text"]
        assert await take_all() == []


async def test_iteration_ends_when_the_context_is_closed(backend: ModuleType) -> None:
    ctx = backend.Context()
    batches = ends(backend, ctx)[1].batches()
    taking = asyncio.ensure_future(anext(batches, None))
    await asyncio.sleep(0)
    await ctx.aclose()
    assert await taking is None
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_what_was_not_taken_goes_with_the_socket(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        await tx.send(b"text")
        rx.close()
        assert [batch async for batch in rx.batches()] == []


async def test_cancelled_wait_loses_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        batches = rx.batches()
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        await tx.send(b"text")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await anext(batches) == [b"text"]


async def test_cancelled_loop_is_gone_on_with_where_it_was(
    backend: ModuleType, address: str
) -> None:
    numbers = [b"%d" % number for number in range(3000)]
    came: list[bytes] = []
    has_all = asyncio.Event()

    async def take(batches: Any) -> None:
        async for batch in batches:
            came.extend(batch)
            if len(came) == len(numbers):
                has_all.set()

    async with backend.Context() as ctx, backend.Context() as other:
        tx, rx = other.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind(address))
        batches = rx.batches(max_n=7)
        for start in range(0, len(numbers), 50):
            taking = asyncio.ensure_future(take(batches))
            await tx.send_many(numbers[start : start + 50])
            # At another step each time, amid waiting or just when something came.
            for _ in range(start // 50 % 5):
                await asyncio.sleep(0)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        taking = asyncio.ensure_future(take(batches))
        async with asyncio.timeout(20):
            await has_all.wait()
        rx.close()
        await taking
    assert came == numbers


async def test_who_iterates_takes_turns_with_who_receives(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        waiting = [asyncio.ensure_future(anext(rx.batches(max_n=1))) for _ in range(3)]
        waiting.append(asyncio.ensure_future(rx.recv_many(max_n=1)))
        await asyncio.sleep(0)
        await tx.send_many([b"a", b"b", b"c", b"d"])
        came = [
            message for batch in await asyncio.gather(*waiting) for message in batch
        ]
        assert came == [b"a", b"b", b"c", b"d"]


async def test_message_of_several_parts_stays(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        await tx.send(b"one")
        await tx.send_multipart([b"a", b"b"])
        batches = rx.batches()
        assert await anext(batches) == [b"one"]
        with pytest.raises(LocalProtocolError):
            await anext(batches)
        assert await rx.recv_multipart() == [b"a", b"b"]
        await tx.send(b"two")
        assert await anext(batches) == [b"two"]


@pytest.mark.parametrize("limits", [(0, 1), (1, 0), (-1, 5), (5, -1)])
async def test_batches_of_nothing_are_a_config_error(
    backend: ModuleType, limits: tuple[int, int]
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(ConfigError):
            ctx.socket(backend.PULL).batches(*limits)


async def test_who_cannot_receive_has_no_batches(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(LocalProtocolError):
            await anext(ctx.socket(backend.PUSH).batches())


async def test_batches_keep_their_context(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ends(backend, ctx)
        batches = rx.batches()
        del rx
        await tx.send(b"text")
        assert await anext(batches) == [b"text"]
