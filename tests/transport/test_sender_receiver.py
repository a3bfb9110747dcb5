"""A codec on a socket: typed messages in and out; what is not one is passed over."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.transport.waiting import eventually, settle

from busduct.codec import MessageCodec
from busduct.errors import (
    ClosedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.transport import Receiver, ReceiverTransport, Sender, SenderTransport

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


class Sample(msgspec.Struct):
    name: str
    number: int = 0


class Lenient(MessageCodec[Sample]):
    def on_decode_error(self, payload: Any, exc: Exception) -> Sample | None:
        return Sample("stand-in", len(payload))


class Broken(MessageCodec[Sample]):
    def decode(self, payload: Any) -> Sample:
        raise ZeroDivisionError


CODEC = MessageCodec(Sample, max_message_bytes=1000)


async def test_messages_arrive_typed_and_in_order(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(address))
        receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
        for number in range(1000):
            await sender.asend(Sample("x", number))
        assert [await receiver.recv() for _ in range(1000)] == [
            Sample("x", number) for number in range(1000)
        ]
        assert receiver.poll() is None


async def test_both_are_what_the_protocols_ask_for(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        dealer = ctx.socket(backend.DEALER)
        assert isinstance(Receiver(dealer, CODEC), ReceiverTransport)
        assert isinstance(Sender(dealer, CODEC), SenderTransport)


async def test_recv_after_close_returns_none(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
        for _ in range(2):
            sender.send(Sample("x"))
        assert await receiver.recv() == Sample("x")
        receiver.close()
        receiver.close()
        assert await receiver.recv() is None
        assert receiver.poll() is None


async def test_close_ends_a_recv_that_waits(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        pull = ctx.socket(backend.PULL)
        pull.bind(ipc("a"))
        receiver = Receiver(pull, CODEC)
        waiting = asyncio.create_task(receiver.recv())
        await settle()
        assert not waiting.done()
        receiver.close()
        assert await waiting is None


async def test_cancelled_recv_loses_nothing(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
        received: list[int] = []
        for number in range(50):
            waiting = asyncio.create_task(receiver.recv())
            await settle(number % 7)
            sender.send(Sample("x", number))
            await settle(number % 5)
            waiting.cancel()
            (result,) = await asyncio.gather(waiting, return_exceptions=True)
            if isinstance(result, Sample):
                received.append(result.number)
        while len(received) < 50:
            item = await receiver.recv()
            assert item is not None
            received.append(item.number)
        assert received == list(range(50))


async def test_garbage_is_counted_and_what_follows_comes(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
        await push.send(b"\xc1")
        await push.send_multipart([b"two", b"parts"])
        await push.send(msgspec.msgpack.encode({"name": 7}))
        await push.send(bytes(1001))
        sender.send(Sample("good"))
        assert await receiver.recv() == Sample("good")
        assert receiver.num_malformed == 4
        assert [type(error) for error in receiver.recent_errors()] == [
            MalformedFrameError,
            MalformedFrameError,
            RemoteProtocolError,
            FrameTooLargeError,
        ]
        assert "message of 2 parts" in str(receiver.recent_errors()[1])
        assert pull.statistics().num_peers == 1


async def test_codec_may_give_a_stand_in(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver = Receiver(pull, Lenient(Sample))
        await push.send(b"\xc1\xc1")
        assert await receiver.recv() == Sample("stand-in", 2)
        assert receiver.num_malformed == 1


async def test_bug_in_a_codec_is_raised_and_costs_one_message(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        receiver = Receiver(pull, Broken(Sample))
        await push.send(b"\x01")
        with pytest.raises(ZeroDivisionError):
            await receiver.recv()
        assert receiver.poll() is None


async def test_send_without_room_raises_full_error_and_asend_waits(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        push = ctx.socket(backend.PUSH, hwm_messages=2)
        push.connect(ipc("a"))
        sender = Sender(push, CODEC)
        sender.send(Sample("x", 0))
        sender.send(Sample("x", 1))
        with pytest.raises(FullError):
            sender.send(Sample("x", 2))
        waiting = asyncio.create_task(sender.asend(Sample("x", 2)))
        await settle()
        assert not waiting.done()
        pull = ctx.socket(backend.PULL)
        pull.bind(ipc("a"))
        receiver = Receiver(pull, CODEC)
        numbers = [item.number for _ in range(3) if (item := await receiver.recv())]
        assert numbers == [0, 1, 2]
        await waiting


async def test_send_over_the_limit_is_refused(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        sender = Sender(ctx.socket(backend.PUSH), CODEC)
        with pytest.raises(FrameTooLargeError):
            sender.send(Sample("x" * 2000))


async def test_send_after_close_raises_closed_error(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        with Sender(ctx.socket(backend.PUSH), CODEC) as sender:
            pass
        sender.close()
        with pytest.raises(ClosedError):
            sender.send(Sample("x"))


async def test_socket_that_cannot_is_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(LocalProtocolError, match="PUSH, DEALER and PAIR"):
            Sender(ctx.socket(backend.PULL), CODEC)
        with pytest.raises(LocalProtocolError, match="receive from PULL"):
            Receiver(ctx.socket(backend.ROUTER), CODEC)


async def test_poll_takes_what_is_there(backend: ModuleType, ipc: Ipc) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        push.connect(pull.bind(ipc("a")))
        with Receiver(pull, CODEC) as receiver, Sender(push, CODEC) as sender:
            sender.send(Sample("x"))
            assert await eventually(receiver.poll) == Sample("x")


class TestSeveralTasks:
    async def test_each_message_goes_to_who_has_waited_longest(
        self, backend: ModuleType, address: str
    ) -> None:
        taken: list[tuple[int, int]] = []

        async def take(number: int) -> None:
            while (item := await receiver.recv()) is not None:
                taken.append((number, item.number))

        async with backend.Context() as ctx:
            pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
            push.connect(pull.bind(address))
            receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
            takers = [asyncio.create_task(take(number)) for number in range(3)]
            await settle()
            for number in range(10):
                sender.send(Sample("x", number))
                if number % 2:
                    await eventually(lambda: len(taken) == number + 1)  # noqa: B023
            receiver.close()
            await asyncio.gather(*takers)
        assert taken == [(number % 3, number) for number in range(10)]

    @pytest.mark.parametrize("who", [0, 1])
    async def test_who_is_cancelled_holds_up_nobody(
        self, backend: ModuleType, ipc: Ipc, who: int
    ) -> None:
        async with backend.Context() as ctx:
            pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
            push.connect(pull.bind(ipc("a")))
            receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
            waiting = [asyncio.create_task(receiver.recv()) for _ in range(3)]
            await settle()
            waiting.pop(who).cancel()
            sender.send(Sample("x", 0))
            sender.send(Sample("x", 1))
            async with asyncio.timeout(20):
                received = await asyncio.gather(*waiting)
        assert [item.number for item in received if item] == [0, 1]

    async def test_poll_keeps_nothing_from_a_task_that_waits(
        self, backend: ModuleType, ipc: Ipc
    ) -> None:
        async with backend.Context() as ctx:
            pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
            push.connect(pull.bind(ipc("a")))
            receiver, sender = Receiver(pull, CODEC), Sender(push, CODEC)
            waiting = asyncio.create_task(receiver.recv())
            await settle()
            sender.send(Sample("x", 0))
            sender.send(Sample("x", 1))
            polled = await eventually(receiver.poll)
            async with asyncio.timeout(20):
                received = await waiting
        assert received is not None
        assert {polled.number, received.number} == {0, 1}
