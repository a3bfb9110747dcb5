"""What publishers and subscribers of a topic can rely on, through `FMQ`."""

import asyncio
import gc
import signal
import subprocess
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fmq.face.scripts import output_of, run, running
from tests.processes.conditions import until
from tests.transport.waiting import eventually

from busduct.errors import (
    AlreadySubscribedError,
    ClosedError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.fmq import FMQ, Message
from busduct.fmq._topic._parking import MAX_PARKED

pytestmark = pytest.mark.usefixtures("home", "no_leaks")

PATIENCE = 50.0


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_callback_gets_what_another_publishes(any_loop: str) -> None:
    async with FMQ() as fmq:
        seen: list[Message] = []

        async def note(message: Message) -> None:
            seen.append(message)

        topic = fmq.topic("news")
        await topic.sub(note)
        await fmq.topic("news").pub("hello")
        await eventually(lambda: seen)
        assert isinstance(seen[0], Message)
        assert (seen[0].payload, seen[0].msg_id) == ("hello", 0)


async def test_arrays_arrive_as_arrays() -> None:
    async with FMQ() as fmq:
        array = np.arange(100_000, dtype="float32").reshape(100, 1000)
        subscription = fmq.topic("t").messages()
        await fmq.topic("t").pub({"step": 3, "weights": array, "raw": b"x" * 100_000})
        payload = (await subscription.recv()).payload
        assert payload["step"] == 3
        assert payload["raw"] == b"x" * 100_000
        assert np.array_equal(payload["weights"], array)
        assert not payload["weights"].flags.writeable
        copying = fmq.topic("t", copy=True).messages()
        await fmq.topic("t").pub(array, wait_for_subscribers=2, timeout=PATIENCE)
        assert (await copying.recv()).payload.flags.writeable


async def test_topic_asked_for_afresh_goes_on_with_its_publisher() -> None:
    async with FMQ() as fmq:
        subscription = fmq.topic("t").messages()
        for number in range(10):
            assert await fmq.topic("t").pub(number) == number
            gc.collect()
        messages = [await subscription.recv() for _ in range(10)]
        assert [message.payload for message in messages] == list(range(10))
        assert len({message.producer_id for message in messages}) == 1
        # Of two that were there at once, one is kept.
        topics = [fmq.topic("t"), fmq.topic("t")]
        for topic in topics:
            await topic.pub(10, wait_for_subscribers=1, timeout=PATIENCE)
        assert [(await subscription.recv()).payload for _ in range(2)] == [10, 10]
        assert subscription.statistics().num_publishers == 2
        del topic, topics
        gc.collect()
        await eventually(lambda: subscription.statistics().num_publishers == 1)


async def test_publishers_that_nobody_refers_to_are_bounded() -> None:
    async with FMQ() as fmq:
        for number in range(MAX_PARKED + 2):
            await fmq.topic(f"t{number}").pub(number)
        assert await fmq.topic(f"t{MAX_PARKED + 1}").pub(0) == 1
        assert await fmq.topic("t0").pub(0) == 0


async def test_subscription_outlives_its_topic_object() -> None:
    async with FMQ() as fmq:
        seen: list[Any] = []
        await fmq.topic("t").sub(lambda message: seen.append(message.payload))
        gc.collect()
        topic = fmq.topic("t")
        await topic.pub(1, wait_for_subscribers=1, timeout=PATIENCE)
        await eventually(lambda: seen == [1])


def test_topic_goes_on_in_the_next_loop() -> None:
    with FMQ() as fmq:
        topic = fmq.topic("t")

        async def once(number: int) -> Any:
            subscription = topic.messages()
            await topic.pub(number, wait_for_subscribers=1, timeout=PATIENCE)
            return (await subscription.recv()).payload

        assert [asyncio.run(once(number)) for number in range(3)] == [0, 1, 2]


def test_topic_works_without_a_loop() -> None:
    with FMQ() as fmq:
        heard = threading.Event()
        seen: list[Any] = []

        def note(message: Message) -> None:
            seen.append((message.payload, threading.current_thread().name))
            heard.set()

        topic = fmq.topic("t")
        topic.sub(note)
        with pytest.raises(AlreadySubscribedError):
            topic.sub(note)
        assert topic.pub_sync({"n": 1}, wait_for_subscribers=1, timeout=PATIENCE) == 0
        assert heard.wait(PATIENCE)
        ((payload, thread),) = seen
        assert payload == {"n": 1}
        assert thread != threading.current_thread().name
        topic.stop_sub()
        with pytest.raises(WaitTimeoutError):
            topic.pub_sync(2, wait_for_subscribers=1, timeout=0.1)
        topic.close()
        topic.close()
        with pytest.raises(ClosedError):
            topic.pub_sync(3)


def test_topic_of_a_thread_publishes_from_a_loop_too() -> None:
    with FMQ() as fmq:
        topic, other = fmq.topic("t"), fmq.topic("t")
        seen: list[Any] = []
        other.sub(lambda message: seen.append(message.payload))
        topic.pub_sync(0, wait_for_subscribers=1, timeout=PATIENCE)

        async def publish() -> None:
            assert await topic.pub(1) == 1
            with pytest.raises(LocalProtocolError, match="would block"):
                topic.pub_sync(2)
            with pytest.raises(LocalProtocolError, match="thread of its FMQ"):
                topic.messages()
            await eventually(lambda: seen == [0, 1])

        asyncio.run(publish())


async def test_setting_that_a_topic_does_not_have_is_refused() -> None:
    async with FMQ() as fmq:
        with pytest.raises(TypeError, match="ack"):
            fmq.topic("t", ack="manual")


async def test_configured_address_is_used(home: Path) -> None:
    path = home / "here.ipc"
    config = {"endpoints": {"t": {"protocol": "ipc", "path": str(path)}}}
    async with FMQ(config) as fmq:
        topic = fmq.topic("t")
        await topic.pub(0)
        await until(path.is_socket)


LISTEN = """
async def main():
    async with FMQ() as fmq:
        topic = fmq.topic("t")
        seen = []
        await topic.sub(lambda message: print(message.payload, flush=True))
        print("listens", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_killed_subscriber_costs_the_others_nothing() -> None:
    async with FMQ() as fmq:
        topic = fmq.topic("t")
        subscription = fmq.topic("t").messages()
        with running(LISTEN) as other:
            assert await asyncio.to_thread(line_of, other) == "listens"
            await topic.pub(0, wait_for_subscribers=2, timeout=PATIENCE)
            assert await asyncio.to_thread(line_of, other) == "0"
            other.send_signal(signal.SIGKILL)
            for number in range(1, 500):
                await topic.pub([number, b"x" * 1000])
            got = [(await subscription.recv()).payload for _ in range(500)]
        assert got == [0, *([number, b"x" * 1000] for number in range(1, 500))]

        def has_one_peer() -> bool:
            publisher = topic.statistics().publisher
            return publisher is not None and publisher.num_peers == 1

        await eventually(has_one_peer)


async def test_stopped_subscriber_holds_up_nobody() -> None:
    async with FMQ() as fmq:
        topic = fmq.topic("t", hwm_messages=4, hwm_bytes=1 << 20, linger=0.1)
        subscription = fmq.topic("t").messages()
        with running(LISTEN) as other:
            await asyncio.to_thread(line_of, other)
            await topic.pub(0, wait_for_subscribers=2, timeout=PATIENCE)
            other.send_signal(signal.SIGSTOP)
            for number in range(60):
                await topic.pub([number, bytes(1 << 20)])
                while (await subscription.recv()).payload == 0:
                    pass
            publisher = topic.statistics().publisher
            assert publisher is not None
            assert publisher.num_dropped


SPEAK = """
async def main():
    async with FMQ() as fmq:
        topic = fmq.topic("t")
        for number in range(300):
            await topic.pub([os.getpid(), number], wait_for_subscribers=1)
            await asyncio.sleep(0)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_publishers_are_killed_and_others_go_on() -> None:
    async with FMQ() as fmq:
        subscription = fmq.topic("t").messages()
        for _ in range(3):
            got: dict[int, list[int]] = defaultdict(list)
            with running(SPEAK) as publisher, running(SPEAK) as other:
                # What is killed when it has just spoken may not have been heard.
                for process in (publisher, other):
                    while len(got[process.pid]) < 300:
                        pid, number = (await subscription.recv()).payload
                        got[pid].append(number)
                    process.kill()
                for process in (publisher, other):
                    assert got[process.pid] == list(range(300))
        await eventually(lambda: not subscription.statistics().num_publishers)
        assert subscription.statistics().num_gaps == 0
        # It takes the address over, and sweeps what the killed have left.
        await fmq.topic("t").pub("last", wait_for_subscribers=1, timeout=PATIENCE)
        assert (await subscription.recv()).payload == "last"


def test_message_published_last_arrives_though_the_process_ends() -> None:
    with running(
        """
        async def main():
            async with FMQ() as fmq:
                subscription = fmq.topic("t").messages()
                print("listens", flush=True)
                # Those of two publishers come in any order.
                heard = [(await subscription.recv()).payload for _ in range(3)]
                print(sorted(heard))

        asyncio.run(main())
        """
    ) as listener:
        assert line_of(listener) == "listens"
        run(
            """
            topic = FMQ().topic("t")
            asyncio.run(topic.pub("async", wait_for_subscribers=1))
            """
        )
        run(
            """
            topic = FMQ().topic("t")
            topic.pub_sync("early")
            topic.pub_sync("sync", wait_for_subscribers=1)
            """
        )
        assert output_of(listener) == "['async', 'early', 'sync']\n"


def test_forked_child_publishes_by_its_own_topic() -> None:
    printed = run(
        """
        def main():
            fmq = FMQ()
            seen = []
            topic = fmq.topic("t")
            topic.sub(lambda message: seen.append(message.payload))
            if os.fork() == 0:
                try:
                    topic.pub_sync(0)
                except Exception as error:
                    name = type(error).__name__
                fmq.topic("t").pub_sync(name, wait_for_subscribers=1)
                fmq.close()
                os._exit(0)
            os.wait()
            while not seen:
                time.sleep(0.01)
            print(seen)
            fmq.close()

        main()
        """
    )
    assert printed == "['ForkedError']\n"
