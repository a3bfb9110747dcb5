"""A producer that does as it likes hurts nobody but itself."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fmq.consuming import Scene, scene
from tests.fmq.raw_producer import NAME, RawProducer, parts_of, run_of
from tests.transport.waiting import eventually

from busduct.errors import (
    FrameTooLargeError,
    FullError,
    MalformedFrameError,
    RemoteProtocolError,
)
from busduct.fmq._consumer import _channel
from busduct.fmq._consumer._intake import Intake
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import (
    HEADER_BYTES,
    VERSION,
    Ack,
    Adopted,
    Goodbye,
    Hello,
    Nack,
    Refusal,
    encode_control,
)

MAX_MESSAGE_BYTES = 100_000


def forged(offset: int, value: int) -> bytes:
    """Return a small message, one byte of whose header is another."""
    header = bytearray(parts_of(b"body", 0)[0])
    header[offset] = value
    return bytes(header)


SAID_FIRST = {
    "nothing": [b""],
    "an unknown kind": [b"\xff what"],
    "what consumers say": [b"\x10" + encode_control(Hello(1, NAME, bytes(16)))[1:]],
    "a hello that is none": [b"\x01 not msgpack"],
    "a hello of many parts": [encode_control(Hello(VERSION, NAME, bytes(16))), b"x"],
    "a hello of another version": [encode_control(Hello(2, NAME, bytes(16)))],
    "a hello to another queue": [encode_control(Hello(VERSION, "other", bytes(16)))],
    "a hello without an id": [encode_control(Hello(VERSION, NAME, b"me"))],
    "a hello without end": [encode_control(Hello(VERSION, "x" * 70000, bytes(16)))],
    "a message at once": parts_of(b"early", 0),
    "messages at once": [run_of(b"early", b"birds")],
    "goodbye at once": [encode_control(Goodbye())],
}

SAID_LATER = {
    "an unknown kind": [b"\xff what"],
    "a second hello": [encode_control(Hello(VERSION, NAME, bytes(16)))],
    "a header that ends early": [parts_of(b"", 0)[0][: HEADER_BYTES - 1]],
    "one byte of a header": [b"\x02"],
    "a goodbye with more": [encode_control(Goodbye()) + b"x"],
    "a goodbye of two parts": [encode_control(Goodbye()), b""],
    "an unknown encoding": [forged(1, 3)],
    "unknown flags": [forged(2, 4)],
    "no body": [forged(2, 0)],
    "parts beyond the body": [*parts_of(b"body", 0), b"more"],
    "a run that lies about a length": [run_of(b"one", b"two") + b"x"],
    "a run that lies about its messages": [b"\x04\x00\xff" + run_of(b"one")[3:]],
    "a run of two parts": [run_of(b"one", b"two"), b"three"],
    "a run that is too large": [run_of(*[bytes(8000)] * 3)],
    "a header with too much": [parts_of(b"x", 0)[0] + b"x", b"x"],
}


async def is_well(here: Scene, good: RawProducer, msg_id: int) -> bool:
    """Whether another producer is served as ever."""
    await good.put(b"good", first_id=msg_id)
    return bool((await here.consumer.get()).payload == b"good")


@pytest.mark.parametrize("what", SAID_FIRST)
async def test_who_begins_wrong_is_refused(
    backend: ModuleType, any_loop: str, ipc_dir: Path, what: str
) -> None:
    async with scene(backend, ipc_dir) as here:
        good, bad = await here.producer(), here.stranger()
        await bad.say(SAID_FIRST[what])
        answer = await bad.hear()
        assert isinstance(answer, Refusal)
        assert answer.version == VERSION
        assert await is_well(here, good, 0)
        statistics = here.consumer.statistics()
        assert (statistics.num_malformed, statistics.num_producers) == (1, 1)
        error = here.consumer.recent_errors()[-1]
        assert isinstance(error, RemoteProtocolError)
        assert str(error) == answer.reason


@pytest.mark.parametrize("what", SAID_LATER)
async def test_who_goes_wrong_is_refused_and_its_messages_are_dropped(
    backend: ModuleType, ipc_dir: Path, what: str
) -> None:
    async with scene(backend, ipc_dir) as here:
        good, bad = await here.producer(), await here.producer()
        await bad.put(b"taken", b"untaken")
        assert (await here.consumer.get()).payload == b"taken"
        await bad.say(SAID_LATER[what])
        await bad.put(b"ignored", first_id=2)
        while not isinstance(await bad.hear(), Refusal):
            pass
        # It knows what was done, and so what to give to others.
        assert bad.upto == 1
        assert await is_well(here, good, 0)
        await eventually(lambda: here.consumer.statistics().num_malformed == 2)
        assert here.consumer.get_nowait() is None


async def test_what_is_refused_is_forgotten_with_its_connection(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        good = await here.producer()
        for n in range(20):
            bad = here.stranger()
            await bad.say([b"nonsense"])
            await bad.hear()
            bad.close()
            await eventually(lambda: _num_peers(here) == 1)
            assert await is_well(here, good, n)
        await here.producer()
        await eventually(lambda: len(here.consumer._intake.routing_ids) == 2)


async def test_connections_that_ended_unseen_are_forgotten_too(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channel, "MAX_EVENTS", 2)
    async with scene(backend, ipc_dir) as here:
        gone = [await here.producer() for _ in range(8)]
        await gone[0].put(b"left")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 1)
        for producer in gone:
            producer.close()
        await eventually(lambda: _num_peers(here) == 0)
        assert here.consumer.statistics().num_producers == 0
        await here.producer()
        await eventually(lambda: len(here.consumer._intake.routing_ids) == 1)
        assert (await here.consumer.get()).payload == b"left"


def _num_peers(here: Scene) -> int:
    return int(here.consumer._channel._router.statistics().num_peers)


async def test_the_first_refusal_is_a_warning(
    backend: ModuleType, ipc_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(backend, ipc_dir) as here:
        with caplog.at_level(logging.DEBUG, "busduct.fmq"):
            for _ in range(3):
                bad = here.stranger()
                await bad.say([b"nonsense"])
                await bad.hear()
        levels = [r.levelno for r in caplog.records if "refuses" in r.message]
        assert levels == [logging.WARNING, logging.DEBUG, logging.DEBUG]


@pytest.mark.parametrize("nbytes", [MAX_MESSAGE_BYTES + 1, 4 * MAX_MESSAGE_BYTES])
async def test_a_message_beyond_the_limit_ends_its_producer(
    backend: ModuleType, ipc_dir: Path, nbytes: int
) -> None:
    options = {"max_message_bytes": MAX_MESSAGE_BYTES}
    async with scene(backend, ipc_dir, **options) as here:
        good, bad = await here.producer(), await here.producer()
        await good.put(b"x" * MAX_MESSAGE_BYTES)
        assert len((await here.consumer.get()).payload) == MAX_MESSAGE_BYTES
        await bad.put(b"x" * nbytes)
        await eventually(lambda: here.consumer.statistics().num_producers == 1)
        assert isinstance(here.consumer.recent_errors()[-1], FrameTooLargeError)
        assert await is_well(here, good, 1)


async def test_what_goes_beyond_the_window_is_held_up_to_the_marks(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    marks = {"hwm_messages": 50, "prefetch_messages": 10}
    async with scene(backend, ipc_dir, **marks) as here:
        flooding = await here.producer()
        body = b"x" * 60_000
        sending = asyncio.create_task(flooding.put(*[body] * 400))
        held = await _steady(lambda: here.consumer.statistics().num_prefetched)
        assert held <= 50 + 10 + 1
        ids = [(await here.consumer.get()).msg_id for _ in range(400)]
        assert ids == list(range(400))
        await sending
        await flooding.told(400)


async def test_bytes_beyond_the_window_are_held_up_to_the_marks(
    backend: ModuleType, ipc_dir: Path
) -> None:
    marks = {"hwm_bytes": 500_000, "prefetch_bytes": 100_000}
    async with scene(backend, ipc_dir, **marks) as here:
        flooding = await here.producer()
        body = b"x" * 60_000
        sending = asyncio.create_task(flooding.put(*[body] * 100))
        held = await _steady(lambda: here.consumer.statistics().prefetched_nbytes)
        assert held <= 600_000 + 60_000
        got = 0
        while got < 100:
            got += len(await here.consumer.get_many(100))
        await sending


async def _steady(value: Callable[[], Any]) -> Any:
    """Return what a value is when it has not changed for some turns of the loop."""
    last, since = value(), 0
    while since < 50 or not last:
        await asyncio.sleep(0.002)
        now = value()
        since = since + 1 if now == last else 0
        last = now
    return last


async def test_one_that_only_talks_nonsense_does_not_keep_others_waiting(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        good, bad = await here.producer(), here.stranger()

        async def talk() -> None:
            while True:
                for _ in range(1000):
                    await bad.say([b"nonsense"])
                # NB: a socket takes a hundred times as many before who sends waits.
                await asyncio.sleep(0)

        talking = asyncio.create_task(talk())
        for n in range(5):
            assert await is_well(here, good, n)
        await eventually(lambda: here.consumer.statistics().num_malformed > 5)
        talking.cancel()


class Reluctant:
    """A socket that has no room for some messages, after others."""

    def __init__(self, socket: Any, num_refusals: int, num_sent: int = 0) -> None:
        self._socket = socket
        self.num_left = num_refusals
        self._num_before = num_sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send_multipart_nowait(self, parts: Any) -> None:
        if self._num_before:
            self._num_before -= 1
        elif self.num_left:
            self.num_left -= 1
            raise FullError("0 messages or 0 bytes")
        self._socket.send_multipart_nowait(parts)


async def test_one_that_does_not_read_is_told_later(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_channel, "RETRY_SECONDS", 0.01)
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer()
        await producer.put(b"a", b"b", b"c")
        a, b, c = [await here.consumer.get() for _ in range(3)]
        router = Reluctant(here.consumer._channel._router, 3)
        monkeypatch.setattr(here.consumer._channel, "_router", router)
        b.nack()
        c.ack()
        await producer.told(0, 2)
        assert producer.returned == [1]
        a.ack()
        await producer.told(3)
        assert router.num_left == 0


@pytest.mark.parametrize("num_sent", [0, 1])
async def test_one_that_does_not_read_is_answered_later(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch, num_sent: int
) -> None:
    monkeypatch.setattr(_channel, "RETRY_SECONDS", 0.01)
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer()
        await producer.put(b"a", b"b")
        a, _ = [await here.consumer.get() for _ in range(2)]
        channel = here.consumer._channel
        router = Reluctant(channel._router, 4, num_sent)
        monkeypatch.setattr(channel, "_router", router)
        # NB: at once, so that the goodbye has all as its answers.
        a.nack()
        (routing_id,) = channel._intake._links
        channel._intake.receive(routing_id, [encode_control(Goodbye())])
        channel._answer()
        said = [await producer.hear() for _ in range(3)]
        assert said == [Nack((0,)), Ack(1, ()), Adopted(2)]
        assert router.num_left == 0


any_part = st.binary(max_size=60) | st.sampled_from(
    [*SAID_FIRST.values(), *SAID_LATER.values()]
).map(lambda parts: parts[0])


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(any_part, min_size=1))))
def test_no_bytes_whatsoever_break_it(said: list[tuple[int, list[bytes]]]) -> None:
    intake = Intake(NAME, bytes(16), QueueOptions())
    for n, parts in said:
        intake.receive(bytes([n]), parts)
    refused = intake.refusals
    assert len(refused) <= 3
    assert all(isinstance(e, RemoteProtocolError) for e in refused)
    num_held = intake.shelf.num_held
    for _ in range(num_held):
        assert intake.take() is not None
    assert intake.take() is None


def test_a_header_that_ends_early_says_where() -> None:
    intake = Intake(NAME, bytes(16), QueueOptions())
    intake.receive(b"peer", [encode_control(Hello(VERSION, NAME, bytes(16)))])
    intake.receive(b"peer", [b"\x02123"])
    error = intake.refusals[0]
    assert isinstance(error, MalformedFrameError)
    assert error.offset == 4
