"""The calls that block: for threads without an event loop, several at once."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.transport.waiting import eventually

from busduct.errors import (
    ClosedError,
    ForkedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.fmq import FMQ, Message, Queue
from busduct.statistics import QueueProducerStatistics

pytestmark = pytest.mark.usefixtures("home", "no_leaks")


def take(queue: Queue, count: int) -> list[object]:
    """Take so many payloads."""
    messages: list[Message] = []
    while len(messages) < count:
        messages += queue.get_many_sync(count - len(messages), timeout=20_000)
    return [message.payload for message in messages]


def until_acknowledged(queue: Queue, count: int) -> None:
    deadline = time.monotonic() + 20
    while queue.statistics().num_acknowledged != count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_put_is_got() -> None:
    with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        assert producer.put_sync(b"hello") == 0
        assert producer.put_sync({"k": ["v", None]}) == 1
        assert producer.put_many_sync(["a", "b"]) == [2, 3]
        first = consumer.get_sync(timeout=20_000)
        assert first is not None
        assert (first.payload, first.msg_id) == (b"hello", 0)
        assert take(consumer, 3) == [{"k": ["v", None]}, "a", "b"]
        assert producer.flush_sync(20)
        until_acknowledged(producer, 4)


def test_large_payloads_come_as_they_are() -> None:
    with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        payload = bytearray(os.urandom(2 << 20))
        producer.put_sync(payload)
        kept = bytes(payload)
        # It was copied, or is not read any more.
        payload[:] = bytes(2 << 20)
        producer.put_sync({"large": kept})
        first = consumer.get_sync(timeout=20_000)
        second = consumer.get_sync(timeout=20_000)
        assert first is not None
        assert second is not None
        assert bytes(first.payload) == kept
        assert second.payload == {"large": kept}
        del first, second


def test_nobody_putting_ends_a_get_with_its_timeout() -> None:
    with FMQ() as fmq:
        consumer = fmq.queue("q", "consumer")
        begun = time.monotonic()
        assert consumer.get_sync(timeout=50) is None
        assert time.monotonic() - begun >= 0.05
        assert consumer.get_many_sync(timeout=1) == []
        with pytest.raises(WaitTimeoutError):
            consumer.get_sync(1, raise_on_timeout=True)


def test_the_wrong_role_is_not_permitted() -> None:
    fmq = FMQ()
    with pytest.raises(PermissionError, match="Only producers can send messages"):
        fmq.queue("q", "consumer").put_sync(b"")
    with pytest.raises(PermissionError, match="Only consumers can get messages"):
        fmq.queue("q").get_sync()


async def test_a_loop_is_not_blocked() -> None:
    async with FMQ() as fmq:
        with pytest.raises(LocalProtocolError, match="await the other"):
            fmq.queue("q").put_sync(b"")
        with pytest.raises(LocalProtocolError, match="await the other"):
            fmq.queue("q", "consumer").get_sync()


def test_threads_share_queues_of_either_kind() -> None:
    with FMQ() as fmq, ThreadPoolExecutor(6) as pool:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")

        def put(index: int) -> list[int]:
            return [producer.put_sync([index, number]) for number in range(300)]

        taking = [pool.submit(take, consumer, 300) for _ in range(3)]
        putting = [pool.submit(put, index) for index in range(3)]
        msg_ids = [each for future in putting for each in future.result(30)]
        taken = [each for future in taking for each in future.result(30)]
    assert sorted(msg_ids) == list(range(900))
    everything = [[index, number] for index in range(3) for number in range(300)]
    assert sorted(taken) == everything  # type: ignore[type-var]


def test_a_loops_queue_is_used_by_another_thread(any_loop: str) -> None:
    async def main(fmq: FMQ) -> None:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        await producer.put(0)
        assert await asyncio.to_thread(producer.put_sync, 1) == 1
        assert await producer.put(2) == 2
        assert await asyncio.to_thread(producer.put_many_sync, [3, 4]) == [3, 4]
        assert await asyncio.to_thread(take, consumer, 2) == [0, 1]
        rest = [await consumer.get(timeout=20_000) for _ in range(3)]
        assert [message.payload for message in rest if message] == [2, 3, 4]
        await fmq.close()

    asyncio.run(main(FMQ()))


async def test_a_loan_waits_for_room_in_another_thread() -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q", hwm_messages=1)
        await producer.put(b"before")
        loan = producer.loan(1 << 16)
        memoryview(loan)[:] = b"x" * (1 << 16)
        putting = asyncio.create_task(asyncio.to_thread(producer.put_sync, loan))
        await eventually(lambda: producer.statistics().num_waiting or putting.done())
        consumer = fmq.queue("q", "consumer")
        for payload in (b"before", b"x" * (1 << 16)):
            message = await consumer.get(timeout=20_000)
            assert message is not None
            assert message.payload == payload
        assert await putting == 1


@pytest.mark.parametrize("large", [np.arange(50_000), bytearray(200_000)])
async def test_a_loan_is_put_in_another_thread_beside_what_needs_memory(
    large: Any,
) -> None:
    async with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        for order in (("lent", "large"), ("large", "lent")):
            loan = producer.loan(1 << 16)
            memoryview(loan)[:] = b"x" * (1 << 16)
            both = {"lent": loan, "large": large}
            payload = {name: both[name] for name in order}
            await asyncio.to_thread(producer.put_sync, payload)
            message = await consumer.get(timeout=20_000)
            assert message is not None
            assert message.payload["lent"] == b"x" * (1 << 16)
            assert bytes(memoryview(message.payload["large"])) == bytes(large)


def test_numbers_are_right_whoever_puts_at_the_same_time() -> None:
    async def main(fmq: FMQ) -> None:
        # So few that tasks and threads have to wait for each other.
        producer = fmq.queue("q", hwm_messages=20)
        consumer = fmq.queue("q", "consumer")

        def put_in_thread() -> dict[str, int]:
            return {f"t{each}": producer.put_sync(f"t{each}") for each in range(300)}

        async def put_in_task() -> dict[str, int]:
            return {f"a{each}": await producer.put(f"a{each}") for each in range(300)}

        puts = asyncio.gather(asyncio.to_thread(put_in_thread), put_in_task())
        found: dict[str, int | None] = {}
        while len(found) < 600:
            message = await consumer.get(timeout=20_000)
            assert message is not None
            found[message.payload] = message.msg_id
        in_thread, in_task = await puts
        assert found == in_thread | in_task
        assert sorted(in_thread.values()) == list(in_thread.values())
        await fmq.close()

    asyncio.run(main(FMQ()))


def test_a_queue_without_a_loop_is_used_by_one() -> None:
    with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        producer.put_sync(0)

        async def main() -> list[object]:
            assert await producer.put(1) == 1
            assert await producer.put_many([2, 3]) == [2, 3]
            first = await consumer.get(timeout=20_000)
            assert first is not None
            rest: list[object] = []
            while len(rest) < 3:
                rest += [each.payload for each in await consumer.get_many()]
            assert await producer.flush(20)
            assert await producer.wait_acknowledged(20)
            assert await consumer.get(timeout=20) is None
            return [first.payload, *rest]

        assert asyncio.run(main()) == [0, 1, 2, 3]


def test_a_cancelled_get_of_another_loop_loses_nothing() -> None:
    with FMQ() as fmq:
        producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
        assert consumer.get_sync(timeout=1) is None

        async def main() -> list[object]:
            taken: list[object] = []
            while len(taken) < 50:
                getting = asyncio.create_task(consumer.get())
                await asyncio.sleep(0.001)
                getting.cancel()
                (message,) = await asyncio.gather(getting, return_exceptions=True)
                if isinstance(message, Message):
                    taken.append(message.payload)
            return taken

        producer.put_many_sync(range(50))
        assert asyncio.run(main()) == list(range(50))


@pytest.mark.parametrize("num_held", [0, 1])
def test_a_full_queue_blocks_or_refuses(num_held: int) -> None:
    with FMQ() as fmq:
        refusing = fmq.queue("q", on_full="error", hwm_messages=2)
        refusing.put_many_sync(range(2 - num_held))
        if num_held:
            refusing.put_sync("held")
        with pytest.raises(FullError):
            refusing.put_sync("more")
        waiting = fmq.queue("q", hwm_messages=1)
        waiting.put_sync("first")
        thread = threading.Thread(target=waiting.put_sync, args=("second",))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        assert len(take(fmq.queue("q", "consumer"), 4)) == 4
        thread.join(20)


def test_drops_are_counted() -> None:
    with FMQ() as fmq:
        producer = fmq.queue("q", on_full="drop_old", hwm_messages=3)
        for number in range(10):
            assert producer.put_sync(number) == number
        consumer = fmq.queue("q", "consumer")
        assert take(consumer, 3) == [7, 8, 9]
        counted = producer.statistics()
        assert isinstance(counted, QueueProducerStatistics)
        assert counted.num_dropped == 7


def test_messages_are_acknowledged_by_hand_in_any_thread() -> None:
    with FMQ() as fmq:
        producer = fmq.queue("q")
        consumer = fmq.queue("q", "consumer", ack="manual")
        producer.put_many_sync(["done", "returned"])
        done = consumer.get_sync(timeout=20_000)
        returned = consumer.get_sync(timeout=20_000)
        assert done is not None
        assert returned is not None
        done.ack()
        returned.nack()
        again = consumer.get_sync(timeout=20_000)
        assert again is not None
        assert (again.payload, again.num_deliveries) == ("returned", 2)
        again.ack()
        until_acknowledged(producer, 2)


def test_what_a_thread_did_not_take_is_not_acknowledged() -> None:
    with FMQ() as fmq:
        producer = fmq.queue("q")
        first = fmq.queue("q", "consumer")
        producer.put_many_sync(range(200))
        # More are taken ahead each time that some were taken.
        assert take(first, 1) == [0]
        for number in range(1, 100):
            assert take(first, 1) == [number]
        until_acknowledged(producer, 100)
        first.close()
        assert take(fmq.queue("q", "consumer"), 100) == list(range(100, 200))


def test_what_is_too_large_is_refused() -> None:
    with FMQ() as fmq:
        producer = fmq.queue("q", max_message_bytes=1000)
        with pytest.raises(FrameTooLargeError):
            producer.put_sync(bytes(1001))
        with pytest.raises(FrameTooLargeError):
            producer.put_sync(["x" * 1001])
        with pytest.raises(FrameTooLargeError):
            producer.put_sync(bytearray(100_000))


def test_a_for_loop_ends_when_the_queue_is_closed() -> None:
    with FMQ() as fmq:
        consumer = fmq.queue("q", "consumer")
        fmq.queue("q").put_many_sync(range(10))
        taken = []
        for message in consumer:
            taken.append(message.payload)
            if len(taken) == 10:
                threading.Thread(target=consumer.close).start()
        assert taken == list(range(10))
        with pytest.raises(ClosedError):
            consumer.get_sync()


def test_a_forked_child_may_not_use_what_is_open(home: Path) -> None:
    with FMQ() as fmq:
        queue = fmq.queue("q", linger=0.0)
        queue.put_sync("parent's")
        pid = os.fork()
        if pid == 0:
            exit_code = 2
            try:
                queue.put_sync("child's")
            except ForkedError:
                exit_code = 0
            finally:
                os._exit(exit_code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert queue.statistics().num_put == 1
