"""Queues whose processes are killed, and machines with little shared memory."""

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.fmq.face import scripts
from tests.processes.conditions import until

from busduct.errors import HandshakeError
from busduct.fmq import FMQ, Message, Queue

pytestmark = pytest.mark.usefixtures("no_leaks")

PRODUCER = """
    async def main():
        queue = FMQ().queue("q")
        for number in range(30):
            await queue.put(bytearray([number]) * (1 << 20))
        print("ready", flush=True)
        await asyncio.Future()

    asyncio.run(main())
"""
# It holds what it has got, neither acknowledged nor released.
CONSUMER = """
    async def main():
        queue = FMQ().queue("q", "consumer", ack="manual", views=True)
        held = [await queue.get(timeout=20_000) for _ in range(5)]
        print("ready", flush=True)
        await asyncio.Future()

    asyncio.run(main())
"""


@pytest.fixture
def named_memory() -> Iterator[None]:
    """Fail a test that leaves shared memory with a name, whoever made it."""
    before = set(os.listdir("/dev/shm"))
    yield
    left = set(os.listdir("/dev/shm")) - before
    assert not {name for name in left if "busduct" in name or "fmq" in name}


async def wait_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    # The process may need what this loop does.
    assert await asyncio.to_thread(process.stdout.readline) == "ready\n"


async def take(queue: Queue, count: int) -> list[Message]:
    """Take so many messages."""
    messages: list[Message] = []
    while len(messages) < count:
        messages += await queue.get_many(count - len(messages), timeout=20_000)
    return messages


async def test_nothing_is_left_where_both_ends_were_killed(
    home: Path, named_memory: None
) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(scripts.running(code)) for code in (CONSUMER, PRODUCER)
        ]
        for process in processes:
            await wait_ready(process)
        assert os.listdir(home / "busduct" / "fmq")
    # Whoever comes next puts things in order, and finds the place free.
    async with FMQ() as fmq:
        await fmq.queue("q").put(b"hello")
        (message,) = await take(fmq.queue("q", "consumer"), 1)
        assert message.payload == b"hello"


async def test_memory_that_a_killed_consumer_held_is_used_again(
    home: Path, any_loop: str
) -> None:
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        with scripts.running(CONSUMER) as process:
            for number in range(20):
                await producer.put(bytearray([number]) * (1 << 20))
            await wait_ready(process)
        consumer = fmq.queue("q", "consumer")
        messages = await take(consumer, 20)
        assert [message.msg_id for message in messages] == list(range(20))
        assert {message.num_deliveries for message in messages[:5]} == {2}
        assert all(m.payload[-1] == number for number, m in enumerate(messages))
        del messages
        context = producer.context
        await until(lambda: context.statistics().num_shm_slots_held == 0)


async def test_another_consumer_serves_producers_that_come_after_the_first_was_killed(
    home: Path,
) -> None:
    async with FMQ() as fmq:
        with scripts.running(CONSUMER) as process:
            consumer = fmq.queue("q", "consumer")
            producer = fmq.queue("q")
            for number in range(500):
                await producer.put(number)
            await wait_ready(process)
        late = fmq.queue("q")
        await late.put("late")
        payloads = [message.payload for message in await take(consumer, 501)]
        payloads.remove("late")
        assert sorted(payloads) == list(range(500))
    # Whoever comes next removes what the killed one left.
    async with FMQ() as fmq:
        fmq.queue("q", "consumer")


async def test_ends_at_the_address_of_another_queue_are_told(home: Path) -> None:
    place = {"protocol": "ipc", "path": str(home / "place")}
    async with FMQ(endpoints={"q": place, "r": place}) as fmq:
        right = fmq.queue("q", "consumer")
        wrong = [fmq.queue("r", "consumer"), fmq.queue("r", on_full="error")]
        for queue in wrong:
            await until(lambda queue=queue: queue.recent_errors())
            (error,) = queue.recent_errors()
            assert isinstance(error, HandshakeError)
            assert "this is the address of 'q', not of 'r'" in str(error)
        await fmq.queue("q").put("right")
        assert (await take(right, 1))[0].payload == "right"


SMALL_MACHINE = """
    from busduct.errors import SegmentFullError
    from busduct.fmq import Descriptor

    os.environ["XDG_RUNTIME_DIR"] = "/dev/shm/run"

    async def main():
        async with FMQ(ipc_root="/dev/shm/fmq") as fmq:
            producer = fmq.queue("q")
            consumer = fmq.queue("q", "consumer", views=True)
            held = []
            for number in range(24):
                await producer.put(bytearray([number]) * (8 << 20))
                held.append((await consumer.get(timeout=20_000)).payload)
            assert [payload[-1] for payload in held] == list(range(24))
            free = os.statvfs("/dev/shm")
            assert free.f_bavail * free.f_frsize > 60 << 20

    asyncio.run(main())
    try:
        Descriptor.create(bytes(100 << 20))
    except SegmentFullError as error:
        print(error.requested > error.available)
    print(len(Descriptor.create(bytes(50 << 20)).read_and_unlink()) >> 20)
"""


@pytest.mark.netns
def test_64_mib_of_dev_shm_are_enough(home: Path) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root, and unshare")
    code = scripts.PROLOGUE + textwrap.dedent(SMALL_MACHINE)
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec"
    process = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", mount + ' "$0" "$@"'),
            *(sys.executable, "-W", "error", "-c", code),
        ],
        capture_output=True,
        text=True,
        timeout=scripts.TIMEOUT,
        check=False,
    )
    if "unshare" in process.stderr:
        pytest.skip(process.stderr)
    assert (process.stdout, process.stderr) == ("True\n50\n", "")
