"""Arrays in slots of shared memory: not copied, held for as long, and given back."""

import asyncio
import gc
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.tensors.arrays import array_of, bits_of
from tests.transport.waiting import eventually

from busduct.codec import MessageCodec
from busduct.tensors import Tensor
from busduct.transport import Receiver, Sender

Ipc = Callable[[str], str]


class Batch(msgspec.Struct):
    values: np.ndarray | None = None
    tensor: Tensor | None = None


CODEC = MessageCodec(Batch)
# What prints a ready line, and then lives until it is killed.
SENDING = textwrap.dedent(
    """
    import asyncio, sys
    import msgspec
    import numpy as np
    from busduct.transport import PUSH, Context, MessageCodec, Sender

    class Batch(msgspec.Struct):
        values: np.ndarray

    async def main():
        async with Context() as ctx:
            push = ctx.socket(PUSH)
            push.connect(sys.argv[1])
            sender = Sender(push, MessageCodec(Batch))
            await sender.asend(Batch(np.arange(1 << 20)))
            await asyncio.Event().wait()

    asyncio.run(main())
    """
)


@asynccontextmanager
async def pair(
    rust: ModuleType, address: str, **options: Any
) -> AsyncIterator[tuple[Any, Sender[Batch], Receiver[Batch]]]:
    """Give a context, and two ends that have moved into shared memory."""
    async with rust.Context() as ctx:
        pull, push = ctx.socket(rust.PULL), ctx.socket(rust.PUSH)
        push.connect(pull.bind(address))
        await eventually(lambda: ctx.statistics().num_shm_peers == 2)
        yield ctx, Sender(push, CODEC), Receiver(pull, CODEC, **options)


@pytest.mark.usefixtures("shared_memory")
async def test_slot_is_held_until_the_last_view_is_gone(
    rust: ModuleType, ipc: Ipc
) -> None:
    array = array_of("float32", (100, 1000))
    async with pair(rust, ipc("a")) as (ctx, sender, receiver):
        sender.send(Batch(array))
        got = await receiver.recv()
        assert ctx.statistics().num_shm_slots_held == 1
        assert got is not None
        assert got.values is not None
        assert got.values.ctypes.data % 64 == 0
        row = got.values[50]
        del got
        gc.collect()
        assert ctx.statistics().num_shm_slots_held == 1
        assert row.tobytes() == array[50].tobytes()
        del row
        await eventually(lambda: ctx.statistics().num_shm_slots_held == 0)


@pytest.mark.usefixtures("shared_memory")
async def test_loaned_tensor_is_sent_where_it_lies(rust: ModuleType, ipc: Ipc) -> None:
    async with pair(rust, ipc("a")) as (ctx, sender, receiver):
        for step in range(10):
            tensor = sender.loan_tensor("bfloat16", (64, 1024))
            assert tensor.storage.is_shared
            tensor.numpy()[...] = step
            sender.send(Batch(tensor=tensor))
            got = await receiver.recv()
            assert got is not None
            assert got.tensor is not None
            assert got.tensor.storage.is_shared
            assert set(got.tensor.numpy().astype(int).ravel().tolist()) == {step}
            del got, tensor
        assert ctx.statistics().num_shm_segments == 1
        await eventually(lambda: ctx.statistics().num_shm_slots_held == 0)


@pytest.mark.usefixtures("shared_memory")
async def test_copies_hold_no_slot(rust: ModuleType, ipc: Ipc) -> None:
    array = array_of("float32", (100, 1000))
    async with pair(rust, ipc("a"), copy=True) as (ctx, sender, receiver):
        sender.send(Batch(array, Tensor.from_array(array)))
        got = await receiver.recv()
        await eventually(lambda: ctx.statistics().num_shm_slots_held == 0)
        assert got is not None
        assert bits_of(got.values) == bits_of(array)


@pytest.mark.usefixtures("shared_memory")
async def test_refused_arrays_hold_no_slot(rust: ModuleType, ipc: Ipc) -> None:
    class Halves(msgspec.Struct):
        values: np.ndarray[Any, np.dtype[np.float16]]

    async with pair(rust, ipc("a")) as (ctx, sender, _):
        pull = ctx.socket(rust.PULL)
        sender._socket.connect(pull.bind(ipc("b")))
        await eventually(lambda: ctx.statistics().num_shm_peers == 4)
        receiver = Receiver(pull, MessageCodec(Halves))
        array = np.zeros(100_000)
        for _ in range(4):
            sender.send(Batch(array))
        await eventually(lambda: receiver.poll() or receiver.num_malformed == 2)
        assert len(receiver.recent_errors()) == 2
        await eventually(lambda: ctx.statistics().num_shm_slots_held == 2)


@pytest.mark.parametrize("is_killed_first", [True, False])
async def test_array_outlives_the_process_that_sent_it(
    rust: ModuleType, ipc: Ipc, is_killed_first: bool
) -> None:
    async with rust.Context() as ctx:
        pull = ctx.socket(rust.PULL)
        receiver = Receiver(pull, CODEC)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SENDING, pull.bind(ipc("a"))
        )
        if is_killed_first:
            await pull.wait_readable()
            process.send_signal(signal.SIGKILL)
            await process.wait()
        got = await receiver.recv()
        if not is_killed_first:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await eventually(lambda: pull.statistics().num_peers == 0)
    assert got is not None
    assert np.array_equal(got.values, np.arange(1 << 20))
