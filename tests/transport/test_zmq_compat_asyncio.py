"""Sockets of `zmq_compat.asyncio`: futures, cancelling, pollers, loops."""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.zmq_faces import TIMEOUT_MS, context_of, join

from busduct.transport import zmq_compat as zmq
from busduct.transport.zmq_compat import asyncio as zmq_asyncio


@pytest.fixture(params=["rust", "python"])
def awaited(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Give a context whose sockets are awaited, on each backend in turn."""
    with context_of(request.param, monkeypatch, zmq_asyncio.Context) as context:
        yield context


async def test_calls_return_futures(awaited: Any, any_loop: str) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    receiving = pull.recv()
    assert isinstance(receiving, asyncio.Future)
    assert not receiving.done()
    assert await push.send(b"x") is None
    assert await receiving == b"x"


async def test_a_call_is_made_even_if_nobody_awaits_it(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    push.send(b"one")
    push.send_multipart([b"two", b"three"])
    assert await pull.recv() == b"one"
    assert await pull.recv_multipart() == [b"two", b"three"]


async def test_receivers_are_served_in_turn(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    first, second, third = pull.recv(), pull.recv(), pull.recv_multipart()
    await push.send_multipart([b"a", b"b", b"c"])
    assert await third == [b"c"]
    assert (first.result(), second.result()) == (b"a", b"b")


async def test_cancelled_receive_takes_nothing(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    first, second = pull.recv_json(), pull.recv_json()
    assert first.cancel()
    await push.send_json([1])
    assert await second == [1]


async def test_message_of_a_cancelled_task_goes_to_the_next(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    future = pull.recv()

    async def receive() -> bytes:
        return bytes(await future)

    # Called first when the future is done: before the task resumes.
    future.add_done_callback(lambda _: task.cancel())
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await push.send(b"kept")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pull.recv() == b"kept"


@pytest.mark.parametrize("kept", [None, 0, 1, 2])
async def test_messages_of_cancelled_tasks_stay_apart_and_in_order(
    awaited: Any, kept: int | None
) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    messages = [[b"1", b"a"], [b"2"], [b"3", b"b"]]
    tasks: list[asyncio.Task[Any]] = []

    def cancel(_: object) -> None:
        for index, task in enumerate(tasks):
            if index != kept:
                task.cancel()

    async def receive(future: "asyncio.Future[Any]") -> Any:
        return await future

    futures = [pull.recv_multipart() for _ in messages]
    for future in futures:
        # Called when the future is done, and before the task resumes.
        future.add_done_callback(
            lambda _: all(f.done() for f in futures) and cancel(None)
        )
    tasks.extend(asyncio.ensure_future(receive(future)) for future in futures)
    await asyncio.sleep(0)
    for message in messages:
        await push.send_multipart(message)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    received = [result for result in done if isinstance(result, list)]
    while len(received) < len(messages):
        received.append(await pull.recv_multipart())
    put_back = [message for i, message in enumerate(messages) if done[i] != message]
    assert sorted(received) == messages
    assert received[len(messages) - len(put_back) :] == put_back


async def test_timeouts_and_noblock_raise_again(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    with pytest.raises(zmq.Again):
        await pull.recv(zmq.NOBLOCK)
    pull.rcvtimeo = 10
    with pytest.raises(zmq.Again):
        await pull.recv()
    lonely = awaited.socket(zmq.PUSH)
    lonely.sndtimeo = 10
    with pytest.raises(zmq.Again):
        await lonely.send(b"nobody")
    await push.send(b"x")
    assert await pull.poll(TIMEOUT_MS) == zmq.POLLIN
    received = pull.recv(zmq.NOBLOCK)
    assert received.done()
    assert await received == b"x"


async def test_waiting_sender_goes_on(awaited: Any, any_loop: str) -> None:
    pull, push = awaited.socket(zmq.PULL), awaited.socket(zmq.PUSH)
    pull.hwm = push.hwm = 1
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    push.connect(f"tcp://127.0.0.1:{port}")
    payload = bytes(1 << 20)
    sending = [push.send(payload) for _ in range(10)]
    for _ in range(10):
        assert len(await pull.recv()) == len(payload)
    await asyncio.gather(*sending)


async def test_contents_are_converted(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    await push.send_string("ä")
    assert await pull.recv_string() == "ä"
    await push.send_multipart([b"a", b"b"])
    frame = await pull.recv(copy=False)
    assert (frame.bytes, frame.more) == (b"a", True)
    buffer = bytearray(1)
    assert await pull.recv_into(buffer) == 1
    assert buffer == b"b"
    await push.send_serialized([1], lambda obj: [bytes(obj)])
    assert await pull.recv_serialized(list) == [b"\x01"]
    with pytest.raises(zmq.NotSupportedError):
        push.send_pyobj(1)
    with pytest.raises(ValueError, match="Expecting value"):
        await asyncio.gather(push.send(b"no json"), pull.recv_json())


async def test_poll_takes_nothing_and_ends_in_time(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    assert await pull.poll(0) == 0
    assert await pull.poll(5) == 0
    polling = pull.poll()
    assert not polling.done()
    await push.send(b"x")
    assert await polling == zmq.POLLIN
    assert await pull.recv() == b"x"


async def test_close_cancels_what_waits(awaited: Any) -> None:
    pull, _ = join(awaited, zmq.PULL, zmq.PUSH)
    waiting = [pull.recv(), pull.recv_multipart(), pull.poll()]
    pull.close()
    done, _ = await asyncio.wait(waiting)
    assert all(future.cancelled() for future in done)


async def test_poller_waits_for_sockets_and_descriptors(
    awaited: Any, any_loop: str
) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)
    blocking = zmq.Socket(pull)
    reader, writer = os.pipe()
    poller = zmq_asyncio.Poller()
    assert await poller.poll(1) == []
    poller.register(blocking, zmq.POLLIN)
    poller.register(reader, zmq.POLLIN)
    assert await poller.poll(5) == []
    os.write(writer, b"x")
    assert await poller.poll(TIMEOUT_MS) == [(reader, zmq.POLLIN)]
    os.read(reader, 1)
    polling = poller.poll(TIMEOUT_MS)
    await push.send(b"x")
    assert await polling == [(blocking, zmq.POLLIN)]
    assert blocking.recv(zmq.NOBLOCK) == b"x"
    for end in (reader, writer):
        os.close(end)


def test_socket_may_be_used_in_one_loop_after_another(awaited: Any) -> None:
    pull, push = join(awaited, zmq.PULL, zmq.PUSH)

    async def echo() -> bytes:
        receiving = pull.recv()
        await push.send(b"x")
        return bytes(await receiving)

    for _ in range(3):
        assert asyncio.run(echo()) == b"x"


async def test_thread_and_loop_share_a_context(awaited: Any, any_loop: str) -> None:
    pull = awaited.socket(zmq.PULL)
    pull.bind("inproc://mixed")
    blocking = zmq.Context(awaited)

    def send() -> None:
        with blocking.socket(zmq.PUSH) as push:
            push.connect("inproc://mixed")
            for number in range(100):
                push.send_json(number)

    sending = threading.Thread(target=send)
    sending.start()
    assert [await pull.recv_json() for _ in range(100)] == list(range(100))
    await asyncio.to_thread(sending.join)


async def test_blocking_socket_works_inside_a_running_loop(awaited: Any) -> None:
    pull, push = join(zmq.Context(awaited), zmq.PULL, zmq.PUSH)
    push.send(b"x")
    assert pull.recv() == b"x"
    pull.close()
    push.close()


async def test_term_fails_what_waits(awaited: Any) -> None:
    pull = awaited.socket(zmq.PULL)
    receiving = pull.recv()
    terminating = threading.Thread(target=awaited.term)
    terminating.start()
    with pytest.raises(zmq.ContextTerminated):
        await receiving
    pull.close()
    await asyncio.to_thread(terminating.join)
