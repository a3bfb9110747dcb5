"""What was dropped, or published before or between, is replayed, or told as missing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.transport.typed_messages import (
    CODEC,
    PATIENCE,
    Sample,
    follow,
    publish,
    publishing,
    ready_pair,
    samples,
    take,
)
from tests.transport.waiting import eventually

from busduct.transport import MessagePublisher, MessageSubscriber
from busduct.transport._records import (
    Batch,
    encode_batch,
)

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


class Lossy:
    """A publisher's live socket that loses batches as it is told."""

    def __init__(self, publisher: Any) -> None:
        self._socket = publisher._live
        self.is_losing = False
        publisher._live = self

    def send_multipart_nowait(self, parts: list[bytes]) -> None:
        if not self.is_losing:
            self._socket.send_multipart_nowait(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def lose(self, publisher: MessagePublisher[Sample], messages: list[Sample]) -> None:
        """Publish messages that are lost on their way."""
        publisher.flush()
        self.is_losing = True
        publish(publisher, messages)
        publisher.flush()
        self.is_losing = False


async def test_dropped_messages_are_replayed_in_their_place(
    backend: ModuleType, publisher_address: str
) -> None:
    async with ready_pair(backend, publisher_address) as (publisher, subscriber):
        lossy = Lossy(publisher)
        publish(publisher, samples(0, 5))
        lossy.lose(publisher, samples(5, 300))
        publish(publisher, samples(300, 302))
        assert await take(subscriber, 302) == samples(0, 302)
        assert publisher.statistics().num_replayed >= 295
        assert subscriber.statistics().num_gaps == 0


async def test_gap_of_one_topic_holds_up_no_other(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        pub = ctx.socket(backend.PUB)
        pub.bind(ipc("a"))
        subscriber = MessageSubscriber(CODEC, ipc("a"), ctx)
        await pub.wait_subscribers(1)

        async def send(first: int, *messages: Sample) -> None:
            payloads = [CODEC.encode(message)[1] for message in messages]
            batch = Batch(messages[0].topic.encode(), 7, first, payloads)
            await pub.send_multipart(encode_batch(batch))

        await send(0, Sample("a", 0))
        await send(2, Sample("a", 2))
        await send(0, Sample("b", 0))
        assert await take(subscriber, 2) == [Sample("a", 0), Sample("b", 0)]
        assert subscriber.statistics().num_held == 1
        await subscriber.aclose()


async def test_lost_tail_is_noticed_in_the_quiet(backend: ModuleType, ipc: Ipc) -> None:
    async with ready_pair(backend, ipc("a"), quiet_interval=0.05) as pair:
        publisher, subscriber = pair
        lossy = Lossy(publisher)
        publish(publisher, samples(0, 2))
        lossy.lose(publisher, samples(2, 10))
        assert await take(subscriber, 10) == samples(0, 10)


async def test_quiet_subscriber_asks_once_and_not_again(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a"), quiet_interval=0.01) as pair:
        publisher, subscriber = pair
        before = subscriber.statistics().num_syncs
        publisher.publish(Sample("t", 0))
        await eventually(lambda: subscriber.statistics().num_syncs == before + 1)
        (quiet,) = [t for t in asyncio.all_tasks() if t.get_name()[-6:] == "replay"]
        # Ten times the interval without anything to wake it.
        done, _ = await asyncio.wait([quiet], timeout=0.1)
        assert not done
        assert subscriber.statistics().num_syncs == before + 1


async def test_what_is_not_held_any_more_is_told(backend: ModuleType, ipc: Ipc) -> None:
    gaps: list[tuple[bytes, int, int]] = []
    async with ready_pair(
        backend,
        ipc("a"),
        {"replay_messages": 10},
        on_gap=lambda *gap: gaps.append(gap),
    ) as (publisher, subscriber):
        lossy = Lossy(publisher)
        publish(publisher, samples(0, 5))
        lossy.lose(publisher, samples(5, 50))
        publisher.publish(Sample("t", 50))
        assert await take(subscriber, 5) == samples(0, 5)
        assert gaps == []
        # The ten that are held end with the one that was not lost.
        assert await take(subscriber, 10) == samples(41, 51)
        assert gaps == [(b"t", 5, 36)]
        publisher.publish(Sample("t", 51))
        assert await subscriber.recv() == Sample("t", 51)
        statistics = subscriber.statistics()
        assert (statistics.num_gaps, statistics.num_missing) == (1, 36)


async def test_messages_under_way_are_not_taken_for_lost(
    backend: ModuleType, ipc: Ipc
) -> None:
    # The ring holds less than what is on its way behind the gap.
    async with ready_pair(
        backend, ipc("a"), {"replay_messages": 3, "max_batch": 1}
    ) as (publisher, subscriber):
        lossy = Lossy(publisher)
        publisher.publish(Sample("t", 0))
        assert await subscriber.recv() == Sample("t", 0)
        lossy.lose(publisher, samples(1, 2))
        publish(publisher, samples(2, 100))
        assert await take(subscriber, 98) == samples(2, 100)
        statistics = subscriber.statistics()
        assert (statistics.num_gaps, statistics.num_missing) == (1, 1)


async def test_late_subscriber_begins_with_the_last_and_goes_on(
    backend: ModuleType, publisher_address: str
) -> None:
    async with publishing(backend, publisher_address) as (ctx, publisher):
        publish(publisher, samples(0, 100, "a") + samples(0, 2, "b"))
        async with follow(ctx, publisher, replay=5) as subscriber:
            await subscriber.wait_ready(PATIENCE)
            publish(publisher, samples(100, 103, "a"))
            got = await take(subscriber, 10)
            assert [s for s in got if s.topic == "a"] == samples(95, 103, "a")
            assert [s for s in got if s.topic == "b"] == samples(0, 2, "b")
            assert subscriber.recv_nowait() is None
            assert subscriber.statistics().num_gaps == 0


async def test_joining_amid_a_stream_gives_each_message_once(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a"), replay_messages=100_000) as found:
        ctx, publisher = found
        stopping = asyncio.Event()

        async def stream() -> int:
            number = 0
            while not stopping.is_set():
                publish(publisher, samples(number, number + 7))
                number += 7
                await asyncio.sleep(0)
            return number

        streaming = asyncio.create_task(stream())
        await eventually(lambda: publisher.statistics().num_published > 100)
        async with follow(ctx, publisher, replay=1_000_000) as subscriber:
            got = await take(subscriber, 1000)
            stopping.set()
            total = await streaming
            got += await take(subscriber, total - 1000)
            assert got == samples(0, total)


async def test_late_subscriber_without_replay_begins_with_the_next(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        publish(publisher, samples(0, 100))
        async with follow(ctx, publisher) as subscriber:
            await subscriber.wait_ready(PATIENCE)
            publish(publisher, samples(100, 103))
            assert await take(subscriber, 3) == samples(100, 103)
            assert subscriber.statistics().num_gaps == 0


async def test_first_message_after_ready_may_be_lost_and_is_replayed(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        lossy = Lossy(publisher)
        lossy.lose(publisher, samples(0, 3))
        publisher.publish(Sample("t", 3))
        assert await take(subscriber, 4) == samples(0, 4)


async def test_topic_added_later_is_replayed_alone(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        publish(publisher, samples(0, 10, "a") + samples(0, 10, "b"))
        async with follow(ctx, publisher, topics=["a"], replay=2) as subscriber:
            assert await take(subscriber, 2) == samples(8, 10, "a")
            subscriber.subscribe("b")
            assert await take(subscriber, 2) == samples(8, 10, "b")
            await subscriber.wait_ready(PATIENCE)
            assert subscriber.recv_nowait() is None


async def test_what_was_published_while_the_link_was_down_is_replayed(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with ready_pair(backend, ipc("a")) as (publisher, subscriber):
        publish(publisher, samples(0, 3))
        assert await take(subscriber, 3) == samples(0, 3)
        live: Any = subscriber._subscription._live
        live.disconnect(ipc("a"))
        await eventually(lambda: publisher.statistics().num_peers == 0)
        await eventually(lambda: not subscriber.statistics().is_ready)
        publish(publisher, samples(3, 50))
        publisher.flush()
        live.connect(ipc("a"))
        assert await take(subscriber, 47) == samples(3, 50)
        await subscriber.wait_ready(PATIENCE)


async def test_silent_replay_endpoint_is_given_up(
    backend: ModuleType, ipc: Ipc
) -> None:
    gaps: list[tuple[bytes, int, int]] = []
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        subscriber = MessageSubscriber(
            CODEC,
            ipc("a"),
            ctx,
            replay_address=ipc("nobody"),
            on_gap=lambda *gap: gaps.append(gap),
            replay_timeout=0.2,
        )
        lossy = Lossy(publisher)
        await publisher.wait_subscribers(1)
        publisher.publish(Sample("t", 0))
        lossy.lose(publisher, samples(1, 4))
        publisher.publish(Sample("t", 4))
        assert await take(subscriber, 2) == [Sample("t", 0), Sample("t", 4)]
        assert gaps == [(b"t", 1, 3)]
        assert not subscriber.statistics().is_ready
        await subscriber.aclose()


async def test_wanted_replay_that_nobody_gives_ends_in_the_live_stream(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        subscriber = MessageSubscriber(
            CODEC,
            ipc("a"),
            ctx,
            replay_address=ipc("nobody"),
            replay=5,
            replay_timeout=0.2,
        )
        await publisher.wait_subscribers(1)
        publish(publisher, samples(0, 3))
        assert await take(subscriber, 3) == samples(0, 3)
        publish(publisher, samples(3, 5))
        assert await take(subscriber, 2) == samples(3, 5)
        await subscriber.aclose()


async def test_more_than_a_subscriber_holds_comes_whole(
    backend: ModuleType, ipc: Ipc
) -> None:
    options = {"max_batch": 1, "replay_messages": 5000}
    async with ready_pair(backend, ipc("a"), options, hwm_messages=20) as pair:
        publisher, subscriber = pair
        lossy = Lossy(publisher)
        publisher.publish(Sample("t", 0))
        lossy.lose(publisher, samples(1, 1000))
        publish(publisher, samples(1000, 1500))
        assert await take(subscriber, 1500) == samples(0, 1500)


async def test_caller_who_takes_nothing_holds_up_no_replay_of_others(
    backend: ModuleType, ipc: Ipc
) -> None:
    filling = bytes(10_000)
    async with publishing(backend, ipc("a"), replay_messages=2000) as (ctx, publisher):
        messages = [Sample("t", number, filling) for number in range(1000)]
        publish(publisher, messages)
        async with (
            follow(ctx, publisher, replay=1000, hwm_messages=1) as idle,
            follow(ctx, publisher, replay=1000) as busy,
        ):
            await eventually(lambda: idle.statistics().num_queued)
            assert await take(busy, 1000) == messages
            assert idle.statistics().num_queued <= 1024
            assert await take(idle, 1000) == messages


PUBLISHER = """
import asyncio, sys
from tests.transport.typed_messages import CODEC, Sample
from busduct.transport import Context, MessagePublisher

async def main():
    async with Context() as ctx:
        publisher = MessagePublisher(CODEC, sys.argv[1], ctx)
        await publisher.wait_subscribers(1)
        number = 0
        while True:
            publisher.publish(Sample(sys.argv[2], number))
            number += 1
            await asyncio.sleep(0.0005)

asyncio.run(main())
"""


def start_publisher(backend: ModuleType, address: str, topic: str) -> Any:
    choice = "python" if "fallback" in backend.__name__ else "rust"
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, address, topic],
        env={**os.environ, "BUSDUCT_BACKEND": choice},
    )


async def test_publisher_killed_and_started_again_is_noticed(
    backend: ModuleType, ipc: Ipc
) -> None:
    restarts: list[int] = []
    gaps: list[tuple[bytes, int, int]] = []
    async with backend.Context() as ctx:
        subscriber = MessageSubscriber(
            CODEC,
            ipc("a"),
            ctx,
            on_restart=restarts.append,
            on_gap=lambda *gap: gaps.append(gap),
        )
        process = start_publisher(backend, ipc("a"), "first")
        try:
            got = await take(subscriber, 100)
            await subscriber.wait_ready(PATIENCE)
            first_epoch = subscriber.epoch
            assert [s.number for s in got] == list(
                range(got[0].number, got[0].number + 100)
            )
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start_publisher(backend, ipc("a"), "second")
            message = await subscriber.recv()
            while message.topic == "first":
                message = await subscriber.recv()
            # From its very first, though it published before we were back.
            got = [message, *await take(subscriber, 99)]
            assert got == samples(0, 100, "second")
            assert restarts == [subscriber.epoch]
            assert first_epoch != subscriber.epoch
            assert gaps == []
            assert subscriber.statistics().num_restarts == 1
        finally:
            process.kill()
            process.wait()
            await subscriber.aclose()
        for name in ("a", "a.replay"):
            os.unlink(ipc(name).removeprefix("ipc://"))


async def test_what_waits_in_a_batch_is_not_taken_for_lost(
    backend: ModuleType, ipc: Ipc
) -> None:
    # The ring holds one of the three that were not sent when the fence was asked for.
    options = {"replay_messages": 1, "max_delay": 3600.0}
    async with ready_pair(backend, ipc("a"), options) as (publisher, subscriber):
        publish(publisher, samples(0, 3))
        subscriber.subscribe("u")
        assert await take(subscriber, 3) == samples(0, 3)
        await subscriber.wait_ready(PATIENCE)
        assert subscriber.statistics().num_gaps == 0
