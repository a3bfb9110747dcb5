"""What is put in one turn of the loop is sent together, and accounted for each."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.producer_parties import FakeConsumer, Party, encoded, party

from busduct.errors import RemoteProtocolError
from busduct.fmq._producer._share import Entry, Share
from busduct.fmq._wire import Ack, Adopted, Nack

TEN = [b"%d" % number for number in range(10)]


def arrived(there: Party, consumer: FakeConsumer) -> list[bytes]:
    """Return what has come without a turn of the loop."""
    there.context.run_once()
    consumer.context.run_once()
    return consumer.payloads


async def test_what_is_put_in_one_turn_comes_together(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(*TEN)
        assert await consumer.received(10) == TEN
        assert [data.msg_id for data in consumer.got] == list(range(10))
        # The first goes at once, the others at the end.
        assert consumer.num_runs == 1
        consumer.acknowledge()
        assert await there.producer.wait_acknowledged(30.0)


async def test_the_first_of_a_turn_goes_at_once(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(b"0", b"1")
        assert arrived(there, consumer) == [b"0"]
        assert await consumer.received(2) == [b"0", b"1"]


async def test_what_is_flushed_does_not_wait_for_the_end_of_the_turn(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(*TEN)
        assert await there.producer.flush()
        assert arrived(there, consumer) == TEN


async def test_many_do_not_wait_for_the_end_of_the_turn(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(prefetch=(50, 1 << 30))
        await there.put(*TEN * 4)
        assert len(arrived(there, consumer)) == 33
        # To the end of the window.
        await there.put(*TEN)
        assert arrived(there, consumer) == TEN * 5


async def test_a_large_one_takes_with_it_what_came_before(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        payloads = [b"0", b"1", b"2", bytes(20000)]
        await there.put(*payloads)
        assert arrived(there, consumer) == payloads


async def test_a_consumer_that_takes_only_small_ones_gets_no_runs(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined(max_message_bytes=10)
        await there.put(*TEN)
        assert await consumer.received(10) == TEN
        assert consumer.num_runs == 0


async def test_what_was_not_done_of_runs_goes_to_another(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        first = await there.joined()
        await there.put(*TEN, *TEN)
        await first.received(20)
        assert first.num_runs
        first.say(Ack(7, (9,)))
        second = there.consumer()
        first.close()
        await there.listed(second)
        assert await second.received(12) == [TEN[7], TEN[8], *TEN]
        assert {data.num_deliveries for data in second.got} == {2}
        assert second.num_runs == 0
        assert there.producer.statistics().num_acknowledged == 8


async def test_of_runs_that_were_not_sent_every_message_is_known(
    backend: ModuleType, ipc_dir: Path
) -> None:
    # More than what the connection and the kernel hold.
    payloads = [b"%05d" % number + bytes(1000) for number in range(20_000)]
    async with party(backend, ipc_dir, hwm_messages=1 << 20) as there:
        consumer = await there.joined(prefetch=(1 << 20, 1 << 40))
        await there.put(*payloads)
        await there.producer.close(0)
        await there.context.aclose()
        left = [bytes(each.body) for each in there.producer.undelivered()]
        got = await consumer.received(len(payloads) - len(left))
        assert len(left) > 1
        assert [each[:5] for each in got + left] == [each[:5] for each in payloads]


async def test_what_waits_for_the_end_of_a_turn_is_known_though_the_context_is_closed(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        await there.put(*TEN)
        there.context.run_once()
        there.context.close()
        await there.context.aclose()
        assert await consumer.received(1) == TEN[:1]
        left = [each.body for each in there.producer.undelivered()]
        assert left == TEN[1:]


@pytest.mark.parametrize(
    "answer", [Ack(1, ()), Ack(0, (0,)), Nack((0,)), Adopted(1)], ids=repr
)
def test_what_was_not_sent_yet_cannot_be_answered(answer: Any) -> None:
    share = Share(10, 1000, 1000, lambda _entries, _num_skipped: None)
    entry = Entry(0, encoded(b"x"), 0.0, 1)
    share.outbox.append(entry)
    share.give(entry)
    take = {Ack: share.acknowledge, Nack: share.give_back, Adopted: share.give_up}
    with pytest.raises(RemoteProtocolError, match="message 0 of 0"):
        take[type(answer)](answer)
    share.flush(0)
    assert take[type(answer)](answer) in ([entry], (1, 1))
