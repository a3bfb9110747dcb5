"""Producers and consumers of one queue, which find each other at its address."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.producer_parties import encoded
from tests.transport.waiting import eventually

from busduct.fmq._consumer import Consumer
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer import Producer
from busduct.fmq._wire import Data, Encoded, Encoding

NAME = "prompts"


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this file to what `no_leaks` asks."""


class Queue:
    """Makes what takes part in one queue, each in a context of its own."""

    def __init__(self, backend: Any, directory: Path, stack: AsyncExitStack) -> None:
        self._backend = backend
        self._directory = directory
        self._stack = stack
        self._num_consumers = 0

    async def producer(self, **options: Any) -> Producer:
        context = await self._context()
        made = Producer(context, self._address(), NAME, QueueOptions(**options))
        self._stack.push_async_callback(made.close, 0.0)
        return made

    async def consumer(self, **options: Any) -> Consumer:
        self._num_consumers += 1
        made = Consumer(
            await self._context(),
            self._address(),
            NAME,
            QueueOptions(**options),
            f"ipc://{self._directory}/{self._num_consumers}",
            decode=_decode,
        )
        self._stack.push_async_callback(made.close)
        return made

    async def _context(self) -> Any:
        return await self._stack.enter_async_context(self._backend.Context())

    def _address(self) -> str:
        return f"ipc://{self._directory}/queue"


def _decode(data: Data) -> bytes:
    return bytes(data.body)


@asynccontextmanager
async def queue(backend: Any, directory: Path) -> AsyncIterator[Queue]:
    async with AsyncExitStack() as stack:
        yield Queue(backend, directory, stack)


async def take(consumer: Consumer, into: list[bytes]) -> None:
    while True:
        into.append((await consumer.get()).payload)


async def test_all_arrives_once_whoever_takes_it(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with queue(backend, ipc_dir) as there:
        producers = [await there.producer(hwm_messages=50) for _ in range(3)]
        consumers = [await there.consumer(prefetch_messages=8) for _ in range(3)]
        # A consumer that is found late may find nothing left.
        await eventually(
            lambda: all(each.statistics().num_consumers == 3 for each in producers)
        )
        got: list[list[bytes]] = [[] for _ in consumers]
        async with asyncio.TaskGroup() as group:
            takers = [
                group.create_task(take(each, into))
                for each, into in zip(consumers, got, strict=True)
            ]
            for number, producer in enumerate(producers):
                messages = [encoded(b"%d.%d" % (number, n)) for n in range(300)]
                group.create_task(producer.put_many(messages))
            await eventually(lambda: sum(map(len, got)) >= 900)
            for taker in takers:
                taker.cancel()
        expected = {b"%d.%d" % (number, n) for number in range(3) for n in range(300)}
        everything = [payload for part in got for payload in part]
        assert len(everything) == 900
        assert set(everything) == expected
        # Whoever came first does not get it all.
        assert min(map(len, got)) > 0


async def test_what_a_closed_consumer_had_not_taken_goes_to_another(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer()
        first = await there.consumer()
        for number in range(10):
            await producer.put(encoded(b"%d" % number))
        assert [(await first.get()).payload for _ in range(3)] == [b"0", b"1", b"2"]
        await first.close()
        second = await there.consumer()
        rest = [await second.get() for _ in range(7)]
        assert [message.payload for message in rest] == [
            b"%d" % n for n in range(3, 10)
        ]
        assert await producer.wait_acknowledged(30.0)
        assert producer.statistics().num_acknowledged == 10


async def test_what_was_not_acknowledged_by_hand_comes_again(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer()
        first = await there.consumer(ack="manual")
        for number in range(4):
            await producer.put(encoded(b"%d" % number))
        messages = [await first.get() for _ in range(4)]
        messages[1].ack()
        messages[2].nack()
        again = await first.get()
        assert (again.payload, again.num_deliveries) == (b"2", 2)
        await first.close()
        second = await there.consumer()
        rest = [await second.get() for _ in range(3)]
        assert [each.payload for each in rest] == [b"0", b"2", b"3"]
        assert [each.num_deliveries for each in rest] == [2, 3, 2]


async def test_what_was_dropped_is_a_gap(backend: ModuleType, ipc_dir: Path) -> None:
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer(hwm_messages=2, on_full="drop_old")
        for number in range(5):
            await producer.put(encoded(b"%d" % number))
        consumer = await there.consumer()
        assert [(await consumer.get()).msg_id for _ in range(2)] == [3, 4]
        assert consumer.statistics().num_gaps == 3


async def test_a_closing_producer_leaves_all_it_had_to_a_slow_consumer(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer()
        consumer = await there.consumer(prefetch_messages=2)
        for number in range(100):
            await producer.put(encoded(b"%d" % number))
        await producer.close(30.0)
        assert producer.undelivered() == []
        got = [(await consumer.get()).payload for _ in range(100)]
        assert got == [b"%d" % number for number in range(100)]


async def test_a_consumer_of_another_queue_is_not_used(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer()
        consumer = await there.consumer()
        await producer.put(encoded(b"x"))
        assert (await consumer.get()).payload == b"x"
        async with backend.Context() as context:
            stranger = Producer(
                context, f"ipc://{ipc_dir}/queue", "answers", QueueOptions()
            )
            await stranger.put(encoded(b"y"))
            assert not await stranger.flush(0.2)
            await stranger.close(0.0)


async def test_large_messages_flow_within_the_window(
    backend: ModuleType, ipc_dir: Path
) -> None:
    payload = bytes(range(256)) * 4096
    async with queue(backend, ipc_dir) as there:
        producer = await there.producer(hwm_bytes=8 << 20)
        consumer = await there.consumer(prefetch_bytes=2 << 20)
        putting = asyncio.create_task(producer.put_many([encoded(payload)] * 30))
        for _ in range(30):
            assert (await consumer.get()).payload == payload
        await putting
        assert await producer.wait_acknowledged(30.0)


def _payloads_of(nbytes: int) -> list[Encoded]:
    """Return payloads of one part, two and more, of so many bytes in all."""
    half = nbytes // 2
    parts = (b"x" * half, bytearray(nbytes - half - 10))
    return [
        encoded(b"x" * nbytes),
        Encoded(Encoding.BUFFER, bytearray(nbytes), (), nbytes, False),
        Encoded(Encoding.OBJECT, b"x" * 10, parts, nbytes, False),
    ]


@pytest.mark.parametrize("limit", [100, 30_000, 200_000])
async def test_a_consumer_is_sent_no_larger_message_than_it_takes(
    backend: ModuleType, any_loop: str, ipc_dir: Path, limit: int
) -> None:
    async with queue(backend, ipc_dir) as made:
        producer = await made.producer()
        small = await made.consumer(max_message_bytes=limit)
        await eventually(lambda: producer.statistics().num_consumers == 1)
        for fits, does_not in zip(
            _payloads_of(limit), _payloads_of(limit + 1), strict=True
        ):
            await producer.put(does_not)
            await producer.put(fits)
        got = [await small.get() for _ in range(3)]
        assert [message.msg_id for message in got] == [1, 3, 5]
        large = await made.consumer()
        got = [await large.get() for _ in range(3)]
        assert [message.msg_id for message in got] == [0, 2, 4]
        assert [message.num_deliveries for message in got] == [1, 1, 1]
        assert producer.statistics().num_faults == 0
        assert await producer.wait_acknowledged(20)


async def test_messages_that_no_consumer_takes_are_told(
    backend: ModuleType, ipc_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with queue(backend, ipc_dir) as made:
        producer = await made.producer(linger=0.0)
        small = await made.consumer(max_message_bytes=10)
        with caplog.at_level(logging.WARNING, "busduct.fmq"):
            for nbytes in (11, 12, 1):
                await producer.put(encoded(b"x" * nbytes))
            assert (await small.get()).msg_id == 2
            # They are looked at again, and told no second time.
            await made.consumer(max_message_bytes=9)
            await eventually(lambda: producer.statistics().num_consumers == 2)
        assert [str(error) for error in producer.recent_errors()] == [
            f"message {number} of {nbytes} bytes waits: no consumer has a "
            "max_message_bytes beyond 10"
            for number, nbytes in enumerate([11, 12])
        ]
        (record,) = (each for each in caplog.records if each.name == "busduct.fmq")
        assert record.getMessage().startswith(f"queue {NAME}: message 0 of 11 bytes")
        assert producer.statistics().num_unwanted == 2
        assert not await producer.flush(0.01)
        await producer.close()
        assert [each.nbytes for each in producer.undelivered()] == [11, 12]
