"""PUSH and PULL: messages arrive whole, once, in order."""

import os
from types import ModuleType

import pytest
from tests.transport.waiting import eventually

from busduct.errors import FrameTooLargeError, LocalProtocolError

pytestmark = pytest.mark.usefixtures("any_loop")

MIB = 1 << 20


@pytest.mark.parametrize("nbytes", [0, 1, 255, 256, 65_535, 70_000, 5 * MIB])
async def test_message_arrives_as_it_was_sent(
    backend: ModuleType, address: str, nbytes: int
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(address))
        message = os.urandom(nbytes)
        await tx.send(message)
        received = await rx.recv()
        assert type(received) is bytes
        assert received == message


async def test_messages_of_all_sizes_keep_their_order(
    backend: ModuleType, address: str
) -> None:
    sizes = [0, 70_000, 3, 300, 20_000, 1, MIB, 17_000, 2] * 10
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(address))
        for index, nbytes in enumerate(sizes):
            await tx.send(index.to_bytes(2, "big") + bytes(nbytes))
        for index, nbytes in enumerate(sizes):
            received = await rx.recv()
            assert (int.from_bytes(received[:2], "big"), len(received)) == (
                index,
                nbytes + 2,
            )


async def test_parts_arrive_as_one_message(backend: ModuleType, address: str) -> None:
    parts = [b"head", b"", os.urandom(300_000), b"tail"]
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(address))
        await tx.send_multipart(parts)
        assert await rx.recv_multipart() == parts


async def test_send_before_connect_is_queued(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        await tx.send(b"early")
        tx.connect(rx.bind(address))
        await tx.send(b"late")
        assert [await rx.recv(), await rx.recv()] == [b"early", b"late"]


async def test_binding_side_sends_as_well(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        endpoint = tx.bind(address)
        await tx.send(b"to whoever comes")
        rx.connect(endpoint)
        assert await rx.recv() == b"to whoever comes"


async def test_peers_get_messages_in_turn(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        endpoint = tx.bind(address)
        receivers = [ctx.socket(backend.PULL) for _ in range(3)]
        for rx in receivers:
            rx.connect(endpoint)
        await eventually(lambda: tx.statistics().num_peers == 3)
        for index in range(9):
            await tx.send(bytes((index,)))
        for rx in receivers:
            first, second, third = [await rx.recv() for _ in range(3)]
            assert second[0] - first[0] == third[0] - second[0] == 3


async def test_one_socket_takes_part_at_many_endpoints(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        endpoints = {rx.bind("tcp://127.0.0.1:0") for _ in range(3)}
        assert len(endpoints) == 3
        senders = []
        for endpoint in sorted(endpoints):
            senders.append(ctx.socket(backend.PUSH))
            senders[-1].connect(endpoint)
            await senders[-1].send(endpoint.encode())
        received = {await rx.recv() for _ in range(3)}
        assert received == {endpoint.encode() for endpoint in endpoints}


async def test_recv_many_takes_what_is_there_within_bounds(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send_many([b"x" * 10] * 20)
        await eventually(lambda: rx.statistics().num_recv_queued == 20)
        assert len(await rx.recv_many(max_n=3)) == 3
        assert len(await rx.recv_many(max_bytes=25)) == 3
        assert len(await rx.recv_many(max_bytes=1)) == 1
        assert len(await rx.recv_many()) == 13
        assert rx.recv_many_nowait() == []


async def test_send_many_keeps_order(backend: ModuleType) -> None:
    messages = [str(index).encode() for index in range(5000)]
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=10_000)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send_many(messages)
        received: list[bytes] = []
        while len(received) < len(messages):
            received += await rx.recv_many()
        assert received == messages


async def test_recv_nowait_gives_none_and_then_the_message(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert rx.recv_nowait() is None
        assert rx.recv_multipart_nowait() is None
        tx.send_nowait(b"one")
        assert await eventually(rx.recv_nowait) == b"one"
        tx.send_multipart_nowait([b"two", b"parts"])
        assert await eventually(rx.recv_multipart_nowait) == [b"two", b"parts"]


async def test_recv_leaves_a_message_of_several_parts(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"single")
        await tx.send_multipart([b"a", b"b"])
        assert await rx.recv_many() == [b"single"]
        for receive in (rx.recv, rx.recv_many):
            with pytest.raises(LocalProtocolError, match="parts"):
                await receive()
        with pytest.raises(LocalProtocolError, match="parts"):
            rx.recv_nowait()
        assert await rx.recv_multipart() == [b"a", b"b"]


@pytest.mark.parametrize("make", [bytearray, memoryview])
async def test_buffers_are_copied_at_the_call(
    backend: ModuleType, make: type[bytearray] | type[memoryview]
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        memory = bytearray(b"before")
        tx.send_nowait(make(memory))
        sending = tx.send(make(memory))
        memory[:] = b"after!"
        await sending
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        assert [await rx.recv(), await rx.recv()] == [b"before", b"before"]


async def test_push_cannot_receive_and_pull_cannot_send(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        with pytest.raises(LocalProtocolError):
            await tx.recv()
        with pytest.raises(LocalProtocolError):
            tx.recv_nowait()
        with pytest.raises(LocalProtocolError):
            await rx.send(b"x")
        with pytest.raises(LocalProtocolError):
            rx.send_nowait(b"x")


async def test_message_without_parts_is_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        with pytest.raises(LocalProtocolError):
            await tx.send_multipart([])
        with pytest.raises(LocalProtocolError):
            tx.send_multipart_nowait([])


async def test_message_over_the_limit_is_refused_with_both_sizes(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, max_message_bytes=100, max_parts=3)
        await tx.send(bytes(100))
        with pytest.raises(FrameTooLargeError) as caught:
            await tx.send(bytes(101))
        assert (caught.value.size, caught.value.limit) == (101, 100)
        with pytest.raises(FrameTooLargeError):
            tx.send_multipart_nowait([bytes(60), bytes(60)])
        with pytest.raises(FrameTooLargeError) as caught:
            await tx.send_multipart([b""] * 4)
        assert (caught.value.size, caught.value.limit) == (4, 3)
        assert tx.statistics().num_send_queued == 1


@pytest.mark.parametrize("data", ["text", 5, None])
async def test_data_that_is_no_buffer_is_a_type_error(
    backend: ModuleType, data: object
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        with pytest.raises(TypeError):
            await tx.send(data)
        with pytest.raises(TypeError):
            tx.send_multipart_nowait([b"fine", data])
        assert tx.statistics().num_send_queued == 0
