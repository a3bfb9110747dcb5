"""Arrays in typed messages over sockets: one copy in, views out, valid for as long."""

import asyncio
import gc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tensors.arrays import array_of, arrays, bits_of

from busduct.codec import MessageCodec
from busduct.errors import (
    ClosedError,
    FrameTooLargeError,
    FullError,
    RemoteProtocolError,
)
from busduct.tensors import DTYPES, Tensor
from busduct.transport import Receiver, Sender

Ipc = Callable[[str], str]


class Batch(msgspec.Struct):
    step: int
    values: np.ndarray | None = None
    many: list[np.ndarray] = []
    tensor: Tensor | None = None


CODEC = MessageCodec(Batch)


def pair(
    backend: ModuleType, ctx: Any, address: str, **options: Any
) -> tuple[Sender[Batch], Receiver[Batch]]:
    pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
    push.connect(pull.bind(address))
    return Sender(push, CODEC), Receiver(pull, CODEC, **options)


async def taken(receiver: Receiver[Batch]) -> Batch:
    item = await receiver.recv()
    assert item is not None
    return item


async def test_messages_with_and_without_arrays_arrive_in_order(
    backend: ModuleType, address: str, any_loop: str
) -> None:
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address)
        sizes = [0, 1, 100, 5000, 70_000]
        for step in range(100):
            values = np.full(sizes[step % 5], step, np.float32)
            await sender.asend(Batch(step, values, [values[::2]] * (step % 3)))
        for step in range(100):
            got = await taken(receiver)
            assert got.step == step
            assert got.values is not None
            assert got.values.shape == (sizes[step % 5],)
            assert set(got.values.tolist()) <= {step}
            assert len(got.many) == step % 3
        assert receiver.num_malformed == 0


@pytest.mark.parametrize("name", DTYPES)
async def test_every_type_arrives_as_an_aligned_read_only_view(
    backend: ModuleType, ipc: Ipc, name: str
) -> None:
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, ipc("a"))
        for shape in ((), (3,), (64, 65)):
            array = array_of(name, shape)
            sender.send(Batch(0, array, tensor=Tensor.from_array(array)))
            got = await taken(receiver)
            assert got.values is not None
            assert got.tensor is not None
            for view in (got.values, got.tensor.numpy()):
                assert bits_of(view) == bits_of(array)
                assert view.flags.aligned
                assert not view.flags.writeable


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_arrays_arrive_bit_by_bit(backend: ModuleType, data: st.DataObject) -> None:
    batches = data.draw(
        st.lists(
            st.builds(
                Batch,
                step=st.integers(0, 9),
                values=st.none() | arrays(),
                many=st.lists(arrays(), max_size=3),
            ),
            max_size=4,
        )
    )

    async def exchange() -> list[Batch]:
        async with backend.Context() as ctx:
            sender, receiver = pair(backend, ctx, "inproc://a")
            for batch in batches:
                await sender.asend(batch)
            return [await taken(receiver) for _ in batches]

    for batch, got in zip(batches, asyncio.run(exchange()), strict=True):
        assert (batch.values is None) == (got.values is None)
        found = [a for a in (got.values, *got.many) if a is not None]
        sent = [a for a in (batch.values, *batch.many) if a is not None]
        assert [bits_of(a) for a in found] == [bits_of(a) for a in sent]


async def test_arrays_outlive_receiver_and_context(
    backend: ModuleType, address: str
) -> None:
    array = array_of("int64", (1000, 100))
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address)
        sender.send(Batch(0, array, [array], Tensor.from_array(array)))
        got = await taken(receiver)
        sender.close()
        receiver.close()
    del ctx, sender, receiver
    gc.collect()
    assert got.values is not None
    assert got.tensor is not None
    for view in (got.values, got.many[0], got.tensor.numpy()):
        assert bits_of(view) == bits_of(array)
    flat = got.values.reshape(-1)[5:]
    del got, view
    assert flat.tobytes() == array.reshape(-1)[5:].tobytes()


async def test_copies_are_writable(backend: ModuleType, address: str) -> None:
    array = array_of("float32", (1000,))
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address, copy=True)
        sender.send(Batch(0, array, [array[:3]], Tensor.from_array(array)))
        got = await taken(receiver)
    assert got.values is not None
    assert got.tensor is not None
    for view, sent in (
        (got.values, array),
        (got.many[0], array[:3]),
        (got.tensor.numpy(), array),
    ):
        assert bits_of(view) == bits_of(sent)
        view[...] = 0
        assert not view.any()


async def test_what_is_sent_may_change_at_once(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address)
        values = np.zeros(20_000)
        tensor = Tensor.from_array(values)
        for step in range(20):
            values[:] = step
            sender.send(Batch(step, values, tensor=tensor))
        for step in range(20):
            got = await taken(receiver)
            assert got.values is not None
            assert got.tensor is not None
            assert set(got.values.tolist()) == {step}
            assert set(got.tensor.numpy().tolist()) == {step}


async def test_loaned_tensor_is_filled_in_place_and_sent(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address)
        tensor = sender.loan_tensor("float32", (300, 400))
        values = tensor.numpy()
        values[...] = np.arange(400)
        with pytest.raises(BufferError):
            sender.send(Batch(1, tensor=tensor))
        del values
        sender.send(Batch(1, tensor=tensor))
        with pytest.raises(ClosedError):
            tensor.numpy()
        got = await taken(receiver)
        assert got.tensor is not None
        assert got.tensor.numpy().tolist() == [list(range(400))] * 300


async def test_received_tensor_may_be_sent_on(backend: ModuleType, ipc: Ipc) -> None:
    array = array_of("uint16", (3000,))
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, ipc("a"))
        relay, last = pair(backend, ctx, ipc("b"))
        sender.send(Batch(1, tensor=Tensor.from_array(array)))
        relay.send(await taken(receiver))
        got = await taken(last)
    assert got.tensor is not None
    assert bits_of(got.tensor.numpy()) == bits_of(array)


async def test_array_of_100_mib_arrives(backend: ModuleType, address: str) -> None:
    array = np.arange(100 << 17, dtype=np.int64)
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, address)
        await sender.asend(Batch(0, array))
        got = await taken(receiver)
        assert got.values is not None
        assert got.values.nbytes == 100 << 20
        assert np.array_equal(got.values, array)


async def test_hostile_messages_are_counted_and_passed_over(
    backend: ModuleType, ipc: Ipc
) -> None:
    encode = msgspec.msgpack.encode
    hostile = [
        [encode({"step": 0, "values": ["int8", [8], 1]})],
        [encode({"step": 0, "values": ["int8", [9], 1]}), bytes(8)],
        [encode({"step": 0, "values": ["int8", [2**62, 8], 1]}), bytes(8)],
        [encode({"step": 0, "values": ["object", [1], 1]}), bytes(8)],
        [encode({"step": 0, "many": [["int8", [8], 1]] * 2}), bytes(8)],
        [b"", bytes(8)],
        [b"\xc1"] * 5,
    ]
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
        for parts in hostile:
            await push.send_multipart(parts)
        sender.send(Batch(7))
        assert await taken(receiver) == Batch(7)
        assert receiver.num_malformed == len(hostile)
        errors = receiver.recent_errors()
        assert all(isinstance(error, RemoteProtocolError) for error in errors)


async def test_kept_errors_do_not_keep_what_was_received(
    backend: ModuleType, ipc: Ipc
) -> None:
    def frames() -> list[object]:
        gc.collect()
        return [o for o in gc.get_objects() if type(o).__name__ in ("Lease", "Inbox")]

    payload = msgspec.msgpack.encode({"many": [["int8", [1 << 20], 1]] * 2, "step": 0})
    # Those of other tests, whose errors pytest may keep.
    others = frames()
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver = Receiver(pull, CODEC)
        await push.send_multipart([payload, bytes(1 << 20)])
        await push.send(CODEC.encode(Batch(7))[1])
        assert await taken(receiver) == Batch(7)
        (error,) = receiver.recent_errors()
        assert "part 1 is used twice" in str(error)
        assert error.__traceback__ is None
        kept = [o for o in frames() if not any(o is other for other in others)]
        assert kept == []


async def test_limits_of_the_socket_hold_for_arrays(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        pull = ctx.socket(backend.PULL)
        push = ctx.socket(backend.PUSH, max_message_bytes=10_000, hwm_messages=1)
        pull.bind(ipc("a"))
        sender = Sender(push, CODEC)
        with pytest.raises(FrameTooLargeError):
            sender.send(Batch(0, np.zeros(10_000, np.int8)))
        sender.send(Batch(0, np.zeros(1000)))
        with pytest.raises(FullError):
            sender.send(Batch(1, np.zeros(1000)))
        push.connect(pull.last_endpoint)
        await sender.asend(Batch(2, np.zeros(1000)))
        receiver = Receiver(pull, CODEC)
        assert [(await taken(receiver)).step for _ in range(2)] == [0, 2]


async def test_closed_receiver_gives_none(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        sender, receiver = pair(backend, ctx, ipc("a"))
        with sender, receiver:
            waiting = asyncio.ensure_future(receiver.recv())
            sender.send(Batch(1, np.zeros(100)))
            assert (await waiting) is not None
            sender.send(Batch(1, np.zeros(100)))
        assert receiver.poll() is None
        assert await receiver.recv() is None
        with pytest.raises(ClosedError):
            sender.send(Batch(1, np.zeros(100)))
