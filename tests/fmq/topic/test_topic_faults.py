"""Slow subscribers, gaps, and publishers that say what no publisher says."""

import asyncio
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.topic.parties import NAME, PATIENCE, parties, payloads
from tests.transport.waiting import eventually

from busduct.codec import MessageCodec
from busduct.errors import FrameTooLargeError
from busduct.fmq._directory import Registration
from busduct.fmq._topic._keys import topic_of
from busduct.fmq._topic._packing import pack
from busduct.fmq._topic._publisher_id import new_publisher_id
from busduct.fmq._wire import Encoded, Encoding
from busduct.transport import MessagePublisher
from busduct.transport._records import PRESENCE_TOPIC, Batch, encode_batch

LARGE = 1 << 20


@pytest.mark.parametrize("policy", ["drop_new", "drop_old"])
async def test_slow_subscriber_gets_by_replay_what_was_dropped(
    backend: ModuleType, address: str, policy: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic(hwm_messages=2, hwm_bytes=LARGE, on_full=policy)
        slow = found.topic(hwm_messages=2, hwm_bytes=LARGE).messages()
        for number in range(40):
            data = [number, bytes(LARGE)]
            await topic.pub(data, wait_for_subscribers=1, timeout=PATIENCE)
        publisher = topic.statistics().publisher
        assert publisher is not None
        assert publisher.num_dropped
        got = await payloads(slow, 40)
        assert [number for number, _ in got] == list(range(40))
        assert slow.statistics().num_gaps == 0


async def test_what_is_not_held_any_more_is_told_in_its_place(
    backend: ModuleType, address: str
) -> None:
    gaps: list[tuple[str, int]] = []
    async with parties(backend, address) as found:
        topic = found.topic(
            hwm_messages=2, hwm_bytes=LARGE, replay_messages=3, linger=0.1
        )
        slow = found.topic(hwm_messages=2, hwm_bytes=LARGE).messages(
            on_gap=lambda key, num_missing: gaps.append((key, num_missing))
        )
        for number in range(40):
            data = [number, bytes(LARGE)]
            await topic.pub(data, key="k", wait_for_subscribers=1, timeout=PATIENCE)
        got: list[int] = []
        while not got or got[-1] < 39:
            before = len(gaps)
            number = (await slow.recv()).payload[0]
            missing = sum(count for _, count in gaps[before:])
            assert number == (got[-1] + 1 if got else 0) + missing
            got.append(number)
        assert gaps
        assert {key for key, _ in gaps} == {"k"}
        statistics = slow.statistics()
        assert statistics.num_gaps == len(gaps)
        assert statistics.num_missing == 40 - len(got)


async def test_subscriber_that_began_first_is_told_of_what_it_could_not_get(
    backend: ModuleType, address: str
) -> None:
    gaps: list[int] = []

    def note(_key: str, num_missing: int) -> None:
        gaps.append(num_missing)
        msg = "it shall go on"
        raise ValueError(msg)

    async with parties(backend, address) as found:
        subscription = found.topic().messages(on_gap=note)
        topic = found.topic(replay_messages=10)
        for number in range(100):
            await topic.pub(number)
        assert await payloads(subscription, 10) == list(range(90, 100))
        assert gaps == [90]
        assert subscription.statistics().num_callback_errors == 1


async def test_too_large_a_message_is_refused_at_both_ends(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic(max_message_bytes=1000)
        subscription = found.topic().messages()
        with pytest.raises(FrameTooLargeError):
            await topic.pub(bytes(1001))
        await topic.pub(bytes(1000))
        assert await payloads(subscription, 1) == [bytes(1000)]


async def test_what_is_no_message_is_counted_and_passed_over(
    backend: ModuleType, ipc_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"ipc://{ipc_dir}/topic"
    good = pack(
        Encoded(Encoding.OBJECT, b"\xa4good", (), 5, False), msg_id=7, timestamp=0.0
    )
    bad = [
        (topic_of(""), b""),
        (topic_of(""), b"\x40"),
        (topic_of(""), b"\x02" * 50),
        (topic_of(""), good[:-1]),
        (topic_of(""), b"\x01garbage"),
        (b"no key", good),
        (b"\xfe\xfe\0", good),
    ]
    async with parties(backend, address) as found, backend.Context() as context:
        topic = found.topic()
        with caplog.at_level(logging.WARNING, "busduct.fmq"):
            subscription = topic.messages()
            publisher = MessagePublisher(
                MessageCodec(bytes), f"ipc://{ipc_dir}/hostile", context
            )
            registration = Registration(
                context, address, NAME, new_publisher_id(), publisher.bind_address
            )
            for key, payload in bad:
                publisher.send(key, payload)
                publisher.send(topic_of(""), good)
            publisher.flush()
            await eventually(
                lambda: subscription.statistics().num_queued == 2 * len(bad)
            )
            messages = [await subscription.recv() for _ in bad]
            assert {message.payload for message in messages} == {"good"}
            assert {message.msg_id for message in messages} == {7}
            # What is taken is looked at then.
            assert subscription.recv_nowait() is None
            assert subscription.statistics().num_malformed == len(bad)
            assert len(subscription.recent_errors()) == len(bad)
            logged = [each for each in caplog.records if each.name == "busduct.fmq"]
            assert len(logged) == 1
            # Others of the topic are heard all the same.
            await found.topic().pub("other")
            assert await payloads(subscription, 1) == ["other"]
        registration.close()
        await publisher.aclose()


async def test_what_waits_for_a_publisher_that_is_gone_is_given_with_its_gaps(
    backend: ModuleType, ipc_dir: Path
) -> None:
    gaps: list[int] = []
    address = f"ipc://{ipc_dir}/topic"
    async with parties(backend, address) as found, backend.Context() as context:
        subscription = found.topic().messages(
            on_gap=lambda _key, num_missing: gaps.append(num_missing)
        )
        # It answers nobody who asks for what is missing.
        live = context.socket(backend.PUB)
        endpoint = live.bind(f"ipc://{ipc_dir}/mute")
        registration = Registration(
            context, address, NAME, new_publisher_id(), endpoint
        )
        await live.wait_subscribers(1, PRESENCE_TOPIC)
        for number in (3, 5):
            encoded = Encoded(Encoding.OBJECT, bytes([number]), (), 1, False)
            payload = pack(encoded, msg_id=number, timestamp=0.0)
            await live.send_multipart(
                encode_batch(Batch(topic_of(""), 1, number, [payload]))
            )
        await eventually(lambda: subscription.statistics().num_held == 2)
        live.close()
        registration.close()
        assert await payloads(subscription, 2) == [3, 5]
        assert gaps == [3, 1]
        await eventually(lambda: not subscription.statistics().num_publishers)


@pytest.mark.parametrize(
    "says", [b"", b"\0" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_endpoint_that_speaks_something_else_is_left_alone(
    backend: ModuleType, ipc_dir: Path, says: bytes
) -> None:
    address = f"ipc://{ipc_dir}/topic"
    num_connected = 0

    async def serve(_reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal num_connected
        num_connected += 1
        writer.write(says)
        writer.close()

    stranger = ipc_dir / "stranger"
    server = await asyncio.start_unix_server(serve, stranger)
    async with parties(backend, address) as found, backend.Context() as context:
        subscription = found.topic().messages()
        registration = Registration(
            context, address, NAME, new_publisher_id(), f"ipc://{stranger}"
        )
        await eventually(lambda: num_connected)
        await found.topic().pub("heard")
        assert await payloads(subscription, 1) == ["heard"]
        registration.close()
        await eventually(lambda: subscription.statistics().num_publishers == 1)
    server.close()
    await server.wait_closed()
    stranger.unlink(missing_ok=True)


async def test_publisher_whose_path_leaves_no_room_for_replay_is_noted(
    backend: ModuleType, ipc_dir: Path
) -> None:
    address = f"ipc://{ipc_dir}/topic"
    path = f"{ipc_dir}/".ljust(105, "x")
    async with parties(backend, address) as found, backend.Context() as context:
        subscription = found.topic().messages()
        registration = Registration(
            context, address, NAME, new_publisher_id(), f"ipc://{path}"
        )
        await eventually(subscription.recent_errors)
        await found.topic().pub("heard")
        assert await payloads(subscription, 1) == ["heard"]
        registration.close()


async def test_subscription_ends_with_its_context(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as found:
        topic = found.topic()
        subscription = topic.messages()
        waiting = asyncio.create_task(anext(subscription, None))
        await found.end(topic)
        assert await waiting is None
