"""Loops that come and go, processes that end: what was put arrives all the same."""

import asyncio
import gc
import os
import signal
import textwrap
import threading
from pathlib import Path

import pytest
import uvloop
from tests.fmq.face.scripts import output_of, run, running

from busduct.errors import ClosedError, ForkedError, LocalProtocolError
from busduct.fmq import FMQ, Message, Queue
from busduct.statistics import QueueProducerStatistics

pytestmark = pytest.mark.usefixtures("home", "no_leaks")

CONSUMER = """
    async def main():
        consumer = FMQ().queue("q", "consumer")
        for _ in range({count}):
            print((await consumer.get(timeout=30_000)).payload, flush=True)
    asyncio.run(main())
"""

# How a producer can end that has put a message and closed nothing.
ENDINGS = {
    "one line": """
        asyncio.run(FMQ().queue("q").put("sent"))
    """,
    "uvloop": """
        import uvloop
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(FMQ().queue("q").put("sent"))
    """,
    "a loop that is only closed": """
        queue = FMQ().queue("q")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(queue.put("sent"))
        loop.close()
    """,
    "a loop that is left": """
        import warnings
        # Python's own, of the loop.
        warnings.simplefilter("ignore", ResourceWarning)
        queue = FMQ().queue("q")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(queue.put("sent"))
    """,
    "no loop": """
        queue = FMQ().queue("q")
        queue.put_sync("sent")
    """,
    "no loop, and nobody refers to it": """
        FMQ().queue("q").put_sync("sent")
    """,
    "another thread": """
        queue = FMQ().queue("q")
        thread = threading.Thread(target=queue.put_sync, args=("sent",))
        thread.start()
        thread.join()
    """,
    "an exception": """
        async def main():
            await FMQ().queue("q").put("sent")
            raise SystemExit(0)
        asyncio.run(main())
    """,
    "a process of multiprocessing": """
        import multiprocessing
        def main():
            global queue
            queue = FMQ().queue("q")
            queue.put_sync("sent")
        process = multiprocessing.get_context("fork").Process(target=main)
        process.start()
        process.join()
    """,
    "a forked child": """
        queue = FMQ().queue("q")
        if (pid := os.fork()) == 0:
            asyncio.run(queue.put("sent"))
            os._exit(0)
        os.waitpid(pid, 0)
    """,
    "a signal that is handled": """
        import signal
        async def main():
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, ended.set)
            await FMQ().queue("q").put("sent")
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()
        asyncio.run(main())
    """,
}


LOSSES = {
    "closed": """
        async def main():
            queue = fmq.queue("q")
            await queue.put("lost")
            await queue.close()
    """,
    "that nobody refers to": """
        async def main():
            await fmq.queue("q").put("lost")
            while fmq._hubs.here()._parts:
                await asyncio.sleep(0.005)
    """,
}


@pytest.mark.parametrize("way", LOSSES)
def test_a_queue_tells_what_nobody_took(way: str) -> None:
    code = textwrap.dedent(LOSSES[way])
    code = f"fmq = FMQ(socket_config={{'linger': 50}})\n{code}asyncio.run(main())"
    with running(code) as process:
        _, errors = process.communicate(timeout=30)
    assert errors.strip() == "a producer is closed; nobody took 1 messages of queue 'q'"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("is_consumer_first", [True, False])
def test_a_message_arrives_though_its_producer_ends(
    ending: str, is_consumer_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that does much else the consumer may begin long after it.
    monkeypatch.setenv("FMQ_CONFIG_JSON", '{"socket_config": {"linger": 30000}}')
    programs = [CONSUMER.format(count=1), ENDINGS[ending]]
    if not is_consumer_first:
        programs.reverse()
    with running(programs[0]) as first, running(programs[1]) as second:
        printed = {output_of(first), output_of(second)}
    assert printed == {"sent\n", ""}


def test_a_message_that_is_flushed_arrives_though_its_producer_exits_at_once() -> None:
    code = """
        async def main():
            queue = FMQ().queue("q")
            await queue.put("first")
            await queue.wait_acknowledged()
            await queue.put("second")
            await queue.flush()
            os._exit(0)
        asyncio.run(main())
    """
    with running(CONSUMER.format(count=2)) as consumer:
        run(code)
        assert output_of(consumer) == "first\nsecond\n"


def test_a_producer_whose_message_nobody_takes_ends_in_time() -> None:
    code = """
        begun = time.monotonic()
        asyncio.run(FMQ(socket_config={"linger": 50}).queue("q").put("lost"))
        # Without the setting it takes 5 s.
        assert time.monotonic() - begun < 4.9
    """
    with running(code) as process:
        _, errors = process.communicate(timeout=30)
    assert errors.strip() == "an FMQ is closed; nobody took 1 messages of queue 'q'"


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_fmq_goes_on_in_one_loop_after_the_other(new_loop: object) -> None:
    fmq = FMQ()
    kept = fmq.queue("kept")

    async def main(number: int) -> None:
        producer, consumer = fmq.queue("q"), fmq.queue("q", role="consumer")
        await producer.put(b"hello world")
        message = await consumer.get(timeout=20_000)
        assert message is not None
        assert message.payload == b"hello world"
        assert await kept.put(number) == number
        message = await fmq.queue("kept", "consumer").get(timeout=20_000)
        assert message is not None
        assert (message.payload, message.msg_id) == (number, number)

    for number in range(3):
        with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
            runner.run(main(number))
    fmq.close()


def test_what_nobody_took_in_one_loop_is_there_in_the_next() -> None:
    fmq = FMQ(socket_config={"linger": 10})

    async def put() -> None:
        consumer = fmq.queue("q", "consumer")
        producer = fmq.queue("q")
        await producer.put_many(["got", "left", "as well"])
        assert await consumer.get(timeout=20_000) is not None

    async def get() -> list[Message | None]:
        consumer = fmq.queue("q", "consumer")
        return [await consumer.get(timeout=20_000) for _ in range(2)]

    asyncio.run(put())
    left = asyncio.run(get())
    assert [message.payload for message in left if message] == ["left", "as well"]
    fmq.close()


def test_a_loop_that_was_closed_beneath_it_is_left() -> None:
    fmq = FMQ()
    producer = fmq.queue("q")
    first = asyncio.new_event_loop()
    first.run_until_complete(producer.put("a"))
    first.close()
    second = asyncio.new_event_loop()
    second.run_until_complete(producer.put("b"))

    async def get() -> list[Message | None]:
        consumer = fmq.queue("q", "consumer")
        return [await consumer.get(timeout=20_000) for _ in range(2)]

    got = asyncio.run(get()) if second.is_closed() else second.run_until_complete(get())
    assert [message.payload for message in got if message] == ["a", "b"]
    fmq.close()
    second.close()


async def test_closing_in_a_loop_begins_at_once(any_loop: str) -> None:
    fmq = FMQ()
    consumer = fmq.queue("q", "consumer")
    ended = fmq.destroy()
    await ended
    await fmq.close()
    with pytest.raises(ClosedError):
        await consumer.get()
    with pytest.raises(ClosedError):
        fmq.queue("q")


def test_closing_without_a_loop_is_done_on_return() -> None:
    before = set(threading.enumerate())
    with FMQ() as fmq:
        queue = fmq.queue("q", linger=0.0)
        queue.put_sync("a")
    assert set(threading.enumerate()) <= before
    fmq.destroy()
    with pytest.raises(ClosedError):
        queue.put_sync("b")


def test_nothing_is_opened_before_it_is_used(home: Path) -> None:
    fmq = FMQ()
    fmq.queue("q")
    fmq.topic("t")
    assert list(home.iterdir()) == []


async def test_what_nobody_refers_to_ends(any_loop: str) -> None:
    consumer = FMQ().queue("q", "consumer")
    await FMQ().queue("q").put("sent")
    message = await consumer.get(timeout=20_000)
    assert message is not None
    assert message.payload == "sent"
    context = consumer.context
    del consumer, message
    gc.collect()
    async with asyncio.timeout(20):
        while not context.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_any_number_is_made_by_any_thread() -> None:
    got: list[object] = []

    def main(number: int) -> None:
        async def exchange() -> None:
            async with FMQ() as fmq:
                await fmq.queue(f"q{number}").put(number)
                message = await fmq.queue(f"q{number}", "consumer").get(timeout=20_000)
                assert message is not None
                got.append(message.payload)

        asyncio.run(exchange())

    threads = [threading.Thread(target=main, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, got)) == sorted(map(str, range(8)))


def test_one_fmq_serves_the_loops_of_several_threads() -> None:
    fmq = FMQ()
    # Whoever ends may have what another one waits for, and end beside its producer.
    for _ in range(12):
        got: list[object] = []

        def main(number: int, got: list[object]) -> None:
            async def exchange() -> None:
                await fmq.queue("shared").put(number)
                message = await fmq.queue("shared", "consumer").get(timeout=20_000)
                assert message is not None
                got.append(message.payload)

            asyncio.run(exchange())

        threads = [threading.Thread(target=main, args=(n, got)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, got)) == ["0", "1", "2", "3"]
    fmq.close()


async def test_a_queue_is_of_one_loop_at_a_time() -> None:
    async with FMQ() as fmq:
        queue = fmq.queue("q", linger=0.0)
        await queue.put("here")
        with pytest.raises(LocalProtocolError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, queue.put("there"))


async def test_open_queues_are_not_a_forked_childs() -> None:
    async with FMQ() as fmq:
        queue = fmq.queue("q", linger=0.0)
        await queue.put("parent's")
        pid = os.fork()
        if pid == 0:
            exit_code = 3
            try:
                exit_code = use_in_child(fmq, queue)
            finally:
                os._exit(exit_code)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        counted = queue.statistics()
        assert isinstance(counted, QueueProducerStatistics)
        assert counted.num_put == 1
        message = await fmq.queue("q", "consumer").get(timeout=20_000)
        assert message is not None
        assert message.payload == "parent's"


def use_in_child(fmq: FMQ, queue: Queue) -> int:
    """Use what the parent has; return how that went."""
    for use in (lambda: asyncio.run(queue.put("child's")), lambda: queue.put_sync(1)):
        try:
            use()
        except ForkedError:
            continue
        return 1

    async def exchange() -> object:
        await fmq.queue("child's").put("fresh")
        message = await fmq.queue("child's", "consumer").get(timeout=20_000)
        return message and message.payload

    return 0 if asyncio.run(exchange()) == "fresh" else 2


def test_a_killed_producer_leaves_nothing_that_hinders_the_next() -> None:
    code = """
        async def main():
            queue = FMQ().queue("q")
            await queue.put("lost")
            print("put", flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    with running(code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(CONSUMER.format(count=1)) as consumer:
        run('asyncio.run(FMQ().queue("q").put("sent"))')
        assert output_of(consumer) == "sent\n"
