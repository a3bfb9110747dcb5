"""A producer with consumers that misbehave, beside one that does not."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.producer_parties import FakeConsumer, Party, encoded, party
from tests.transport.waiting import eventually, settle

from busduct.errors import BusductError, HandshakeError, RemoteProtocolError
from busduct.fmq._producer import _link, _peer
from busduct.fmq._producer._peer import Peer
from busduct.fmq._wire import (
    VERSION,
    Ack,
    Adopted,
    Encoded,
    Encoding,
    Nack,
    Refusal,
    Welcome,
)

Misdeed = Callable[[FakeConsumer], None]

MISDEEDS: dict[str, Misdeed] = {
    "garbage": lambda each: each.say_bytes(b"\xff\x00garbage"),
    "nothing": lambda each: each.say_bytes(b""),
    "too many parts": lambda each: each.say_bytes(b"\x12" + bytes(8), b"x"),
    "ack of what was never sent": lambda each: each.say(Ack(1 << 40, ())),
    "other of what was never sent": lambda each: each.say(Ack(0, (1 << 40,))),
    "nack of what was never sent": lambda each: each.say(Nack((1 << 40,))),
    "second welcome": lambda each: each.say(Welcome(VERSION, each.member_id, 9, 9, 9)),
    "refusal": lambda each: each.say(Refusal(VERSION, "enough")),
    "adoption that nobody asked for": lambda each: each.say(Adopted(1)),
    "adoption of two numbers": lambda each: each.say_bytes(b"\x14" + bytes(16)),
    "numbers without end": lambda each: each.say_bytes(b"\x12" + bytes(9 << 20)),
    "torn numbers": lambda each: each.say_bytes(b"\x12" + bytes(7)),
}
FIRST_MISDEEDS: dict[str, Misdeed] = {
    "garbage": MISDEEDS["garbage"],
    "ack of nothing": lambda each: each.say(Ack(0, ())),
    "nack of nothing": lambda each: each.say(Nack((0,))),
    "other version": lambda each: each.say(
        Welcome(VERSION + 1, each.member_id, 9, 9, 9)
    ),
    "no room ever": lambda each: each.say_bytes(b"\x10\x94\x01\xc4\x10" + bytes(18)),
    "refusal": MISDEEDS["refusal"],
}


def faults(there: Party) -> int:
    return there.producer.statistics().num_faults


@pytest.mark.parametrize("misdeed", MISDEEDS.values(), ids=MISDEEDS)
async def test_what_it_had_goes_to_another(
    backend: ModuleType, ipc_dir: Path, misdeed: Misdeed
) -> None:
    async with party(backend, ipc_dir) as there:
        bad = await there.joined()
        await there.put(b"0", b"1", b"2")
        await bad.received(3)
        bad.say(Ack(1, ()))
        misdeed(bad)
        await eventually(lambda: faults(there))
        good = await there.joined()
        assert await good.received(2) == [b"1", b"2"]
        good.acknowledge()
        assert await there.producer.wait_acknowledged(30.0)
        (error,) = there.producer.recent_errors()
        assert isinstance(error, RemoteProtocolError)


async def test_one_that_would_own_what_was_never_sent_is_wrong(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        bad = there.consumer(adopts=False)
        await there.listed(bad)
        await there.put(b"0")
        closing = asyncio.create_task(there.producer.close(30.0))
        await eventually(lambda: bad.payloads and bad.num_goodbyes)
        bad.say(Adopted(2))
        good = there.consumer()
        there.watcher.list(good)
        assert await good.received(1) == [b"0"]
        await eventually(lambda: good.payloads and closing.done())
        assert faults(there) == 1


@pytest.mark.parametrize("misdeed", FIRST_MISDEEDS.values(), ids=FIRST_MISDEEDS)
async def test_one_that_is_wrong_from_the_beginning_gets_nothing(
    backend: ModuleType, ipc_dir: Path, misdeed: Misdeed
) -> None:
    async with party(backend, ipc_dir) as there:
        bad, good = there.consumer(welcomes=False), there.consumer()
        there.watcher.list(bad, good)
        await bad.greeted()
        misdeed(bad)
        await eventually(lambda: faults(there))
        await there.put(b"0", b"1")
        assert await good.received(2) == [b"0", b"1"]
        assert bad.payloads == []


async def test_a_silent_one_is_given_up(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_link, "HANDSHAKE_SECONDS", 0.05)
    async with party(backend, ipc_dir) as there:
        silent = there.consumer(welcomes=False)
        there.watcher.list(silent)
        await eventually(lambda: faults(there))
        (error,) = there.producer.recent_errors()
        assert isinstance(error, HandshakeError)


async def test_one_that_never_acknowledges_holds_up_no_other(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        idle = there.consumer(prefetch=(2, 1 << 20))
        busy = there.consumer(prefetch=(2, 1 << 20))
        await there.listed(idle, busy)
        await there.put(*[b"%d" % number for number in range(20)])

        def is_done() -> bool:
            if busy.payloads:
                busy.acknowledge()
            return len(busy.payloads) == 18

        await eventually(is_done)
        assert len(idle.payloads) == 2


async def test_a_message_over_the_limit_ends_its_link(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir, max_message_bytes=10_000) as there:
        bad = await there.joined()
        await there.put(b"x")
        await bad.received(1)
        bad.say_bytes(b"\x12" + bytes(80_000))
        good = await there.joined()
        assert await good.received(1) == [b"x"]
        assert faults(there) == 1


async def test_a_flood_of_acks_holds_up_nobody(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        flooding, good = there.consumer(), there.consumer()
        await there.listed(flooding, good)
        for _ in range(20_000):
            flooding.say(Ack(0, ()))
        await there.put(b"0", b"1")
        await eventually(lambda: flooding.payloads and good.payloads)
        assert faults(there) == 0


async def test_something_else_that_listens_there_is_a_fault(
    backend: ModuleType, ipc_dir: Path
) -> None:
    path = str(ipc_dir / "other")

    async def answer(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server, party(backend, ipc_dir) as there:
        other = there.consumer()
        other.endpoint = f"ipc://{path}"
        there.watcher.list(other)
        await eventually(lambda: faults(there))
    os.unlink(path)


async def test_an_endpoint_that_is_none_is_a_fault(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        other, good = there.consumer(), there.consumer()
        other.endpoint = "nonsense"
        there.watcher.list(other, good)
        await there.put(b"x")
        assert await good.received(1) == [b"x"]
        # It is tried again after a while.
        assert faults(there)


async def test_nobody_there_is_no_fault(backend: ModuleType, ipc_dir: Path) -> None:
    async with party(backend, ipc_dir) as there:
        gone, good = there.consumer(), there.consumer()
        gone.close()
        there.watcher.list(gone, good)
        await there.put(b"x")
        assert await good.received(1) == [b"x"]
        assert faults(there) == 0


async def test_faults_of_one_are_logged_once(
    backend: ModuleType,
    ipc_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_peer, "FIRST_FAULT_DELAY", 0.001)
    async with party(backend, ipc_dir) as there:
        bad = there.consumer(welcomes=False)
        there.watcher.list(bad)
        with caplog.at_level(logging.WARNING, "busduct.fmq"):
            for count in range(1, 4):
                await bad.greeted(count)
                bad.say_bytes(b"\xff")
                await eventually(lambda count=count: faults(there) == count)
        (record,) = (each for each in caplog.records if each.name == "busduct.fmq")
        assert bad.member_id.hex() in record.getMessage()


async def test_what_cannot_be_sent_is_dropped_and_the_rest_arrives(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with party(backend, ipc_dir) as there:
        consumer = await there.joined()
        impossible = Encoded(Encoding.BUFFER, object(), (), 1, False)
        await there.producer.put_many(
            [encoded(b"0"), impossible, encoded(b"2"), encoded(b"3" * 20_000)]
        )

        def ids() -> set[int]:
            consumer.turn()
            return {data.msg_id for data in consumer.got}

        await eventually(lambda: ids() == {0, 2, 3})
        assert there.producer.statistics().num_dropped == 1
        assert max(data.num_skipped for data in consumer.got) == 1


@pytest.mark.parametrize(
    ("fault", "delays"),
    [
        (None, [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.0, 2.0]),
        (RemoteProtocolError("x"), [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
    ],
)
async def test_attempts_are_ever_further_apart(
    monkeypatch: pytest.MonkeyPatch, fault: BusductError | None, delays: list[float]
) -> None:
    waited: list[float] = []
    ends: list[Callable[[BusductError | None], None]] = []
    loop = asyncio.get_running_loop()

    def call_later(delay: float, callback: Callable[..., None], *args: Any) -> Any:
        # Whatever else the loop is asked for is as it was.
        if callback != peer.open:
            return plain_call_later(delay, callback, *args)
        waited.append(delay)
        return loop.call_soon(callback)

    def open_link(_: str, on_end: Callable[[BusductError | None], None]) -> Any:
        ends.append(on_end)

    plain_call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", call_later)
    peer = Peer("x", open_link, on_fault=lambda _: None, on_gone=lambda: None)
    peer.open()
    for count in range(1, len(delays) + 1):
        ends[-1](fault)
        await eventually(lambda count=count: len(ends) > count)
    assert waited == pytest.approx(delays)


async def test_a_tcp_consumer_that_is_cut_off_gets_its_messages_again(
    backend: ModuleType,
) -> None:
    async with party(backend, "") as there:
        consumer = FakeConsumer(backend, "tcp://127.0.0.1:0")
        try:
            await there.listed(consumer)
            await there.put(b"x")
            await consumer.received(1)
            with socket.create_server(("127.0.0.1", 0)) as deaf:
                consumer.socket.unbind(consumer.endpoint)
                consumer.socket.close(linger=0)
                await eventually(lambda: not there.producer.statistics().num_consumers)
                assert there.producer.statistics().num_pending == 1
                consumer.endpoint = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
                there.watcher.list(consumer)
                await settle()
            heir = FakeConsumer(backend, "tcp://127.0.0.1:0")
            try:
                await there.listed(heir)
                assert await heir.received(1) == [b"x"]
            finally:
                heir.close()
        finally:
            consumer.close()
