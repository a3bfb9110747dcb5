"""A producer with consumers that behave."""

import asyncio
import socket
import time
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.producer_parties import NAME, FakeConsumer, encoded, party
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
)
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer import Producer, _producer
from busduct.fmq._wire import Ack, Encoded, Encoding


async def test_messages_arrive_in_order_with_their_numbers(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        assert await there.put(b"a", b"b", b"c" * 40_000) == [0, 1, 2]
        assert await consumer.received(3) == [b"a", b"b", b"c" * 40_000]
        assert [data.msg_id for data in consumer.got] == [0, 1, 2]
        assert {data.num_deliveries for data in consumer.got} == {1}
        assert consumer.hellos[0].queue == NAME
        assert len(consumer.hellos[0].producer_id) == 16


async def test_parts_arrive_with_their_body(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        parts = (b"1" * 20_000, bytearray(b"2"))
        await there.producer.put(Encoded(Encoding.OBJECT, b"body", parts, 20_005, True))
        await consumer.received(1)
        data = consumer.got[0]
        assert (bytes(data.body), data.is_large) == (b"body", True)
        assert [bytes(part) for part in data.parts] == [b"1" * 20_000, b"2"]


async def test_what_was_put_before_there_is_a_consumer_arrives(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        await there.put(b"early")
        assert there.producer.statistics().num_pending == 1
        consumer = await there.joined()
        assert await consumer.received(1) == [b"early"]


async def test_put_does_not_give_way_where_there_is_room(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        await there.joined()
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1

        asyncio.get_running_loop().call_soon(count)
        await there.put(*[b"x"] * 50)
        assert turns == 0


async def test_the_window_is_not_exceeded(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(3, 1 << 20))
        await there.put(*[b"x"] * 8)
        await consumer.received(3)
        await settle()
        assert len(consumer.payloads) == 3
        consumer.acknowledge()
        await consumer.received(6)
        consumer.say(Ack(0, (5,)))
        await consumer.received(7)
        assert there.producer.statistics().num_acknowledged == 4


async def test_consumers_share_the_work(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        first, second = there.consumer(), there.consumer()
        await there.listed(first, second)
        await there.put(*[b"%d" % number for number in range(10)])
        await first.received(5)
        await second.received(5)
        assert sorted(first.payloads + second.payloads) == [
            b"%d" % number for number in range(10)
        ]


async def test_what_a_lost_consumer_had_goes_to_another(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        lost = await there.joined()
        await there.put(b"0", b"1", b"2", b"3")
        await lost.received(4)
        lost.say(Ack(1, (2,)))
        # What it said before it went counts.
        lost.close()
        heir = await there.joined()
        assert await heir.received(2) == [b"1", b"3"]
        assert [data.num_deliveries for data in heir.got] == [2, 2]
        heir.acknowledge()
        assert await there.producer.wait_acknowledged(30.0)
        statistics = there.producer.statistics()
        assert (statistics.num_acknowledged, statistics.num_redelivered) == (4, 2)


async def test_all_that_a_lost_consumer_said_counts(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    # More than what is read at once.
    count = 600
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(count, 1 << 20))
        await there.put(*[b"x"] * count)
        await consumer.received(count)
        for number in range(count):
            consumer.say(Ack(number + 1, ()))
        # Let it out of this side, which is gone then.
        await eventually(lambda: not consumer.socket.statistics().num_send_queued)
        consumer.close()
        await eventually(lambda: not there.producer.statistics().num_consumers)
        assert there.producer.statistics().num_acknowledged == count


async def test_what_is_given_back_comes_again(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(b"0", b"1")
        await consumer.received(2)
        consumer.give_back(0)
        assert await consumer.received(3) == [b"0", b"1", b"0"]
        assert consumer.got[2].num_deliveries == 2


async def test_a_connected_consumer_stays_though_it_is_not_listed(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        there.watcher.list()
        await there.put(b"still")
        assert await consumer.received(1) == [b"still"]


async def test_a_consumer_that_is_neither_listed_nor_there_is_given_up(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = there.consumer()
        there.watcher.list(consumer)
        consumer.close()
        await settle()
        there.watcher.list()
        again = await there.joined()
        await there.put(b"x")
        assert await again.received(1) == [b"x"]


async def test_a_listed_consumer_is_found_again(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(b"x")
        await consumer.received(1)
        consumer.socket.unbind(consumer.endpoint)
        consumer.socket.close(linger=0)
        consumer.socket = consumer.context.socket(backend.ROUTER)
        await eventually(lambda: not there.producer.statistics().num_consumers)
        consumer.socket.bind(consumer.endpoint)
        assert await consumer.received(2) == [b"x", b"x"]


async def test_put_waits_at_the_mark_and_in_turn(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_messages=2) as there:
        consumer = await there.joined()
        await there.put(b"0", b"1")
        waiting = [asyncio.create_task(there.put(b"%d" % n)) for n in range(2, 5)]
        await settle()
        assert there.producer.statistics().num_waiting == 3
        assert there.producer.room() == (0, 0)
        with pytest.raises(FullError):
            there.producer.put_nowait(encoded(b"pushes in"))
        await consumer.received(2)
        consumer.acknowledge()
        await consumer.received(4)
        consumer.acknowledge()
        assert [await each for each in waiting] == [[2], [3], [4]]
        assert await consumer.received(5) == [b"%d" % n for n in range(5)]


async def test_a_small_message_does_not_overtake_a_large_one_that_waits(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_bytes=10) as there:
        consumer = await there.joined()
        await there.put(b"0" * 5, b"1" * 5)
        putting = [
            asyncio.create_task(there.put(payload)) for payload in (b"2" * 9, b"3")
        ]
        await consumer.received(2)
        consumer.say(Ack(1, ()))
        await eventually(lambda: there.producer.statistics().num_acknowledged)
        await settle()
        assert there.producer.next_msg_id == 2
        with pytest.raises(FullError):
            there.producer.put_nowait(encoded(b"4"))
        consumer.acknowledge()
        assert [await each for each in putting] == [[2], [3]]


async def test_try_put_takes_what_need_not_wait(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_messages=2) as there:
        consumer = await there.joined()
        assert there.producer.try_put(encoded(b"0")) == 0
        assert there.producer.try_put(encoded(b"1")) == 1
        assert there.producer.try_put(encoded(b"2")) is None
        assert await consumer.received(2) == [b"0", b"1"]
        await there.producer.close(0)
        with pytest.raises(ClosedError):
            there.producer.try_put(encoded(b"3"))


async def test_a_cancelled_put_took_nothing(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir, hwm_messages=1) as there:
        await there.put(b"0")
        gives_up, stays = (
            asyncio.create_task(there.put(each)) for each in (b"1", b"2")
        )
        await settle()
        gives_up.cancel()
        await asyncio.wait({gives_up})
        consumer = await there.joined()
        await consumer.received(1)
        consumer.acknowledge()
        assert await stays == [1]
        assert await consumer.received(2) == [b"0", b"2"]


@pytest.mark.parametrize("on_full", ["error", "drop_new", "drop_old"])
async def test_what_happens_at_the_mark(
    backend: ModuleType, ipc_dir: Path, on_full: str
) -> None:
    async with party(backend, ipc_dir, hwm_messages=2, on_full=on_full) as there:
        await there.put(b"0", b"1")
        if on_full == "error":
            with pytest.raises(FullError):
                await there.put(b"2")
        else:
            assert await there.put(b"2") == [2]
        consumer = await there.joined()
        expected = [b"1", b"2"] if on_full == "drop_old" else [b"0", b"1"]
        assert await consumer.received(2) == expected
        num_dropped = 0 if on_full == "error" else 1
        assert consumer.got[1].num_skipped == num_dropped
        assert there.producer.statistics().num_dropped == num_dropped


async def test_put_many_takes_all_and_waits_for_room(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_messages=3) as there:
        consumer = await there.joined()
        messages = [encoded(b"%d" % n) for n in range(5)]
        putting = asyncio.create_task(there.producer.put_many(messages))
        await consumer.received(3)
        consumer.acknowledge()
        assert await putting == [0, 1, 2, 3, 4]
        assert await consumer.received(5) == [b"%d" % n for n in range(5)]


async def test_put_many_is_all_or_nothing_where_it_may_not_wait(
    backend: ModuleType, ipc_dir: Path
) -> None:
    options = {"hwm_messages": 2, "on_full": "error", "max_message_bytes": 10}
    async with party(backend, ipc_dir, **options) as there:
        with pytest.raises(FullError):
            await there.producer.put_many([encoded(b"x")] * 3)
        with pytest.raises(FrameTooLargeError):
            await there.producer.put_many([encoded(b"x"), encoded(b"x" * 11)])
        assert there.producer.next_msg_id == 0
        assert await there.producer.put_many([encoded(b"x")] * 2) == [0, 1]


async def test_immediate_put_waits_for_a_consumer(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, immediate=True) as there:
        putting = asyncio.create_task(there.put(b"x"))
        await settle()
        assert not putting.done()
        consumer = await there.joined()
        assert await putting == [0]
        assert await consumer.received(1) == [b"x"]


async def test_too_large_a_message_is_refused(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, max_message_bytes=20_000) as there:
        consumer = await there.joined()
        with pytest.raises(FrameTooLargeError):
            await there.put(b"x" * 20_001)
        await there.put(b"x" * 20_000)
        assert len((await consumer.received(1))[0]) == 20_000


async def test_flush_and_wait_acknowledged(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        producer = there.producer
        assert await producer.flush(0.0)
        await there.put(b"x")
        assert not await producer.flush(0.01)
        consumer = await there.joined()
        assert await producer.flush(30.0)
        assert not await producer.wait_acknowledged(0.01)
        await consumer.received(1)
        consumer.acknowledge()
        assert await producer.wait_acknowledged(30.0)


async def test_close_hands_over_beyond_the_window(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(1, 1))
        await there.put(*[b"x" * 1000] * 500)
        closing = asyncio.create_task(there.producer.close(30.0))
        assert len(await consumer.received(500)) == 500
        await eventually(lambda: consumer.payloads and closing.done())
        assert there.producer.undelivered() == []


async def test_close_ends_when_consumers_own_what_they_have(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(b"0", b"1", b"2")
        await consumer.received(3)
        consumer.say(Ack(1, ()))
        await eventually(lambda: there.producer.statistics().num_acknowledged)
        closing = asyncio.create_task(there.producer.close(None))
        await eventually(lambda: consumer.payloads and closing.done())
        statistics = there.producer.statistics()
        assert (statistics.num_adopted, statistics.num_unacknowledged) == (2, 0)
        assert (consumer.num_goodbyes, there.producer.undelivered()) == (1, [])


async def test_what_a_consumer_does_not_own_goes_to_another_at_close(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        ends = there.consumer(adopts=False)
        await there.listed(ends)
        await there.put(b"0", b"1")
        await ends.received(2)
        closing = asyncio.create_task(there.producer.close(30.0))
        await eventually(lambda: ends.payloads and ends.num_goodbyes)
        ends.close()
        stays = there.consumer()
        there.watcher.list(stays)
        assert await stays.received(2) == [b"0", b"1"]
        await eventually(lambda: stays.payloads and closing.done())
        assert there.producer.statistics().num_adopted == 2


async def test_what_is_known_of_runs_is_bounded_though_one_message_is_kept(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(64, 1 << 30))
        for last in range(32, 32 * 33, 32):
            await there.producer.put_many([encoded(b"x")] * 32)
            await consumer.received(last)
            consumer.say(Ack(0, tuple(range(max(last - 32, 1), last))))
            await eventually(lambda: there.producer.statistics().num_unacknowledged < 2)
        (peer,) = there.producer._peers._peers.values()
        assert peer._link is not None
        assert len(peer._link._sent._others) < 3


async def test_close_does_not_wait_for_one_that_never_greeted(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        silent, consumer = there.consumer(), there.consumer()
        silent.endpoint = f"ipc://{ipc_dir}/silent"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{ipc_dir}/silent")
            listener.listen()
            there.watcher.list(silent, consumer)
            await there.put(b"0")
            closing = asyncio.create_task(there.producer.close(None))
            assert await consumer.received(1) == [b"0"]
            await eventually(lambda: consumer.payloads and closing.done())
            async with asyncio.timeout(20):
                await there.context.aclose()
        (ipc_dir / "silent").unlink()


async def test_close_waits_only_so_long_for_one_that_does_not_answer(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_producer, "GOODBYE_SECONDS", 0.01)
    async with party(backend, ipc_dir) as there:
        busy = there.consumer(adopts=False)
        await there.listed(busy)
        await there.put(b"0", b"1")
        await there.producer.close(None)
        assert await busy.received(2) == [b"0", b"1"]
        await there.context.aclose()
        assert there.producer.undelivered() == []


async def test_what_was_not_sent_is_known_beside_a_goodbye(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_producer, "GOODBYE_SECONDS", 0.01)
    async with party(backend, ipc_dir) as there:
        stopped = there.consumer(adopts=False, hwm_messages=4)
        await there.listed(stopped)
        await there.put(*[b"%d" % number + bytes(1 << 20) for number in range(64)])
        await there.producer.close(0.1)
        await there.context.aclose()
        left = there.producer.undelivered()
        got = await stopped.received(64 - len(left))
        assert left
        everything = [*got, *(bytes(each.body) for each in left)]
        assert [each[:2].rstrip(b"\0") for each in everything] == [
            b"%d" % number for number in range(64)
        ]


async def test_close_gives_up_after_its_linger(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        await there.put(b"0", b"1")
        flushing = asyncio.create_task(there.producer.flush(None))
        await settle()
        await asyncio.gather(there.producer.close(0.01), there.producer.close(0.01))
        assert [each.body for each in there.producer.undelivered()] == [b"0", b"1"]
        assert there.watcher.is_closed
        with pytest.raises(ClosedError):
            await flushing
        with pytest.raises(ClosedError):
            await there.put(b"2")
        with pytest.raises(ClosedError):
            there.producer.loan(10)


async def test_what_a_consumer_does_not_read_is_undelivered(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        # Its socket, too, reads no further, however long the producer lingers.
        consumer = await there.joined(prefetch=(1000, 1 << 40), hwm_messages=4)
        # More than what it, the connection and the kernel hold.
        payloads = [bytes([n]) * (1 << 20) for n in range(64)]
        await there.put(*payloads)
        await there.producer.close(0.05)
        await there.context.aclose()
        left = [bytes(each.body) for each in there.producer.undelivered()]
        assert left
        assert left == payloads[len(payloads) - len(left) :]
        assert consumer.socket.recv_multipart_nowait() is not None


async def test_those_who_wait_for_room_learn_of_the_close(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_messages=1) as there:
        await there.put(b"x")
        waiting = asyncio.create_task(there.put(b"y"))
        await settle()
        await there.producer.close(0)
        with pytest.raises(ClosedError):
            await waiting


async def test_another_producer_goes_on_where_one_ended(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        await there.put(b"0", b"1")
        await there.producer.close(0)
        await there.context.aclose()
        state = there.producer.take_state()
    async with party(backend, ipc_dir, state=state) as there:
        assert await there.put(b"2") == [2]
        consumer = await there.joined()
        assert await consumer.received(3) == [b"0", b"1", b"2"]
        assert consumer.hellos[0].producer_id == state.producer_id
        assert there.producer.statistics().num_put == 3


async def test_what_was_sent_is_the_consumers_though_only_the_context_was_closed(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    # More than what a connection and the kernel hold.
    payloads = [bytes([n]) * (1 << 20) for n in range(32)]
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(30, 1 << 40))
        await there.put(*payloads)
        await consumer.received(1)
        await there.context.aclose()
        left = [bytes(each.body) for each in there.producer.undelivered()]
        assert left
        assert await consumer.received(len(payloads) - len(left))
        assert consumer.payloads + left == payloads


async def test_a_message_has_the_time_at_which_it_was_put(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, hwm_messages=1) as there:
        await there.put(b"0")
        putting = asyncio.create_task(there.put(b"1"))
        await settle()
        before_there_was_room = time.time()
        consumer = await there.joined()
        await consumer.received(1)
        consumer.acknowledge()
        await consumer.received(2)
        await putting
        first, second = consumer.got
        assert first.timestamp <= second.timestamp <= before_there_was_room


async def test_acknowledgements_are_read_though_the_producer_never_waits(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(2, 1 << 20))
        acknowledging = asyncio.create_task(_acknowledge_all(consumer))
        await there.put(*[b"x"] * 500)
        # Nothing here but `put` let the loop run.
        assert there.producer.statistics().num_acknowledged
        acknowledging.cancel()


async def _acknowledge_all(consumer: FakeConsumer) -> None:
    while True:
        await consumer.socket.wait_readable()
        consumer.turn()
        consumer.acknowledge()


async def test_what_was_put_is_handed_over_after_all_tasks_were_cancelled(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(1, 1 << 20))
        await there.put(b"0", b"1")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await consumer.received(1)
        consumer.acknowledge()
        assert await consumer.received(2) == [b"0", b"1"]


async def test_loans_are_lent(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        loan = there.producer.loan(100_000)
        memoryview(loan)[:] = b"l" * 100_000
        lease = loan.freeze()
        await there.producer.put(Encoded(Encoding.BUFFER, lease, (), 100_000, False))
        assert await consumer.received(1) == [b"l" * 100_000]


def test_another_loop_is_refused(backend: ModuleType) -> None:
    context = backend.Context()

    async def make() -> Producer:
        return Producer(context, "ipc:///tmp/x", NAME, QueueOptions(), watch=_Deaf)

    async def use(producer: Producer) -> None:
        with pytest.raises(LocalProtocolError):
            await producer.put(encoded(b"x"))

    producer = asyncio.run(make())
    asyncio.run(use(producer))
    assert producer.next_msg_id == 0
    context.close()


class _Deaf:
    def __init__(self, *_args: object, insecure: bool) -> None:
        pass
