"""What a publisher and a subscription tell their sockets and their owners."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.transport.typed_messages import CODEC, Sample, publishing
from tests.transport.waiting import eventually

from busduct.errors import AuthError
from busduct.transport import MessagePublisher
from busduct.transport._inbox import Inbox
from busduct.transport._reordering import Record, Reordering
from busduct.transport._subscription import Subscription

Ipc = Callable[[str], str]

LIMITS: dict[str, Any] = {
    "hwm_messages": 10,
    "hwm_bytes": 1 << 20,
    "max_message_bytes": 1 << 20,
    "max_answer_bytes": 1 << 20,
    "replay_timeout": 1.0,
    "quiet_interval": 1.0,
}


class Recording:
    """A context that notes the options of the sockets it opens."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.options: list[dict[str, Any]] = []

    def socket(self, kind: int, **options: Any) -> Any:
        self.options.append(options)
        return self.context.socket(kind, **options)


def subscription(context: Any, inbox: Inbox, **options: Any) -> Subscription:
    loop = asyncio.get_running_loop()
    return Subscription(
        context, loop, inbox, Reordering(0, 10, 1000, 10), **LIMITS | options
    )


async def test_insecure_is_of_both_endpoints_of_a_publisher(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        with pytest.raises(AuthError, match="insecure=True"):
            MessagePublisher(CODEC, "tcp://0.0.0.0:0", ctx)
        async with MessagePublisher(CODEC, "tcp://0.0.0.0:0", ctx, insecure=True) as it:
            assert it.replay_address.startswith("tcp://0.0.0.0:")


async def test_buffers_are_of_every_socket(backend: ModuleType, ipc: Ipc) -> None:
    sizes = {"send_buffer_bytes": 30_000, "recv_buffer_bytes": 50_000}
    async with backend.Context() as ctx:
        recording: Any = Recording(ctx)
        async with MessagePublisher(CODEC, ipc("a"), recording, **sizes):
            found = subscription(recording, Inbox(10, 1000), **sizes)
            found.close()
        assert len(recording.options) == 4
        assert all(sizes.items() <= options.items() for options in recording.options)


async def test_loan_of_a_publisher_is_filled_and_taken_back(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (_, publisher):
        with publisher.loan(100) as loan:
            assert loan.nbytes == 100


async def test_owner_is_told_of_items_of_a_lost_connection_and_of_the_end(
    backend: ModuleType, ipc: Ipc
) -> None:
    told: list[str] = []
    async with backend.Context() as ctx:
        inbox = Inbox(10, 1000, lambda: told.append("inbox"))
        found = subscription(ctx, inbox, on_down=lambda: told.append("down"))
        assert not found.is_connected
        async with publishing(backend, ipc("a")) as (_, publisher):
            found.connect(publisher.bind_address, publisher.replay_address, [b""])
            await found.synchronizer.ready.wait()
            assert found.is_connected
            assert told == []
            publisher.publish(Sample("t", 0))
            publisher.publish(Sample("t", 1))
            await eventually(lambda: len(inbox) == 2)
            assert told == ["inbox"]
            assert isinstance(inbox.take(), Record)
            assert isinstance(inbox.take(), Record)
        await eventually(lambda: told == ["inbox", "down"])
        assert not found.is_connected
        assert found.num_unread == 0
        found.close()
        found.close()
        assert told == ["inbox", "down", "inbox"]
        await found.wait_closed()


async def test_owner_is_told_of_what_is_read_after_the_connection(
    backend: ModuleType, ipc: Ipc
) -> None:
    told: list[int] = []
    async with backend.Context() as ctx:
        inbox = Inbox(1, 1000)
        found = subscription(ctx, inbox, on_down=lambda: told.append(found.num_unread))
        async with publishing(backend, ipc("a")) as (_, publisher):
            found.connect(publisher.bind_address, publisher.replay_address, [b""])
            await found.synchronizer.ready.wait()
            for number in range(5):
                publisher.publish(Sample("t", number))
                publisher.flush()
            await eventually(lambda: len(inbox) and found.num_unread == 4)
        # What has come is read one by one, as its owner makes room.
        await eventually(lambda: told)
        for left in range(4, -1, -1):
            await eventually(lambda: len(inbox))
            assert found.num_unread == left
            inbox.take()
        await eventually(lambda: told[-1] == 0)
        found.close()
        await found.wait_closed()
