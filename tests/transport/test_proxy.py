"""Messages forwarded between two sockets: all, whole, and with back-pressure."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, LocalProtocolError
from busduct.transport import Proxy, proxy, proxy_blocking

PATIENCE = 20.0
MIB = 1 << 20


@asynccontextmanager
async def running(
    frontend: Any, backend_socket: Any, capture: Any = None
) -> AsyncIterator[Proxy]:
    """Run a proxy, and see that it stops when told to."""
    async with running_again(Proxy(frontend, backend_socket, capture)) as forwarder:
        yield forwarder


@asynccontextmanager
async def running_again(forwarder: Proxy) -> AsyncIterator[Proxy]:
    """Run a proxy that may have run before."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(forwarder.run(stop))
    try:
        yield forwarder
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


@pytest.mark.usefixtures("any_loop")
async def test_requests_and_replies_pass_whole(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        frontend, workers = ctx.socket(backend.ROUTER), other.socket(backend.DEALER)
        client, worker = ctx.socket(backend.DEALER), ctx.socket(backend.ROUTER)
        client.connect(frontend.bind(address))
        worker.connect(workers.bind("tcp://127.0.0.1:0"))
        async with running(frontend, workers) as forwarder:
            for number in range(100):
                parts = [b"", str(number).encode(), b"x" * number]
                await client.send_multipart(parts)
                via, *request = await worker.recv_multipart()
                assert request[1:] == parts
                await worker.send_multipart([via, *request, b"done"])
                assert await client.recv_multipart() == [*parts, b"done"]
            counters = forwarder.statistics()
        assert counters.num_messages_to_backend == 100
        assert counters.num_messages_to_frontend == 100
        assert counters.num_bytes_to_frontend == counters.num_bytes_to_backend + 400
        assert counters.num_undeliverable == 0


@pytest.mark.usefixtures("any_loop")
async def test_stream_passes_in_order_and_back_pressure_reaches_the_sender(
    backend: ModuleType,
) -> None:
    num_messages = 400
    async with backend.Context() as ctx:
        frontend = ctx.socket(backend.PULL, hwm_messages=2)
        onward = ctx.socket(backend.PUSH, hwm_messages=2)
        tx = ctx.socket(backend.PUSH, hwm_messages=2)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        endpoint = onward.bind("tcp://127.0.0.1:0")
        async with running(frontend, onward) as forwarder:
            sent = 0
            with suppress(TimeoutError):
                while sent < num_messages:
                    data = sent.to_bytes(4, "big") + bytes(MIB)
                    await asyncio.wait_for(tx.send(data), 0.3)
                    sent += 1
            # Two queues of two, the one in hand, and what the kernel takes.
            assert sent < 40
            assert forwarder.statistics().num_messages_to_backend <= 2
            rx = ctx.socket(backend.PULL)
            rx.connect(endpoint)

            async def send_the_rest() -> None:
                for number in range(sent, num_messages):
                    await tx.send(number.to_bytes(4, "big"))

            sending = asyncio.ensure_future(send_the_rest())
            for number in range(num_messages):
                data = await rx.recv()
                assert data[:4] == number.to_bytes(4, "big")
            await sending


@pytest.mark.usefixtures("any_loop")
async def test_subscriptions_pass_back_and_messages_forth(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        frontend, upstream = ctx.socket(backend.XPUB), ctx.socket(backend.XSUB)
        publisher, subscriber = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        subscriber.connect(frontend.bind("tcp://127.0.0.1:0"))
        publisher.connect(upstream.bind("tcp://127.0.0.1:0"))
        async with running(frontend, upstream):
            subscriber.subscribe(b"a")
            await publisher.wait_subscribers(1, b"a")
            await publisher.send_multipart([b"b", b"not asked for"])
            await publisher.send_multipart([b"ab", b"asked for"])
            assert await subscriber.recv_multipart() == [b"ab", b"asked for"]
            subscriber.unsubscribe(b"a")
            await eventually(lambda: not publisher.num_subscribers(b"a"))


@pytest.mark.usefixtures("any_loop")
async def test_capture_gets_every_message(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        frontend, workers = ctx.socket(backend.ROUTER), ctx.socket(backend.DEALER)
        client, worker = ctx.socket(backend.DEALER), ctx.socket(backend.DEALER)
        capture, log = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        client.connect(frontend.bind("tcp://127.0.0.1:0"))
        worker.connect(workers.bind("tcp://127.0.0.1:0"))
        log.connect(capture.bind("tcp://127.0.0.1:0"))
        async with running(frontend, workers, capture):
            await client.send(b"question")
            request = await worker.recv_multipart()
            assert await log.recv_multipart() == request
            await worker.send_multipart([request[0], b"answer"])
            assert await client.recv() == b"answer"
            assert await log.recv_multipart() == [request[0], b"answer"]


@pytest.mark.usefixtures("any_loop")
async def test_reply_to_a_client_that_is_gone_is_counted_and_no_more(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        frontend, workers = ctx.socket(backend.ROUTER), ctx.socket(backend.DEALER)
        worker = ctx.socket(backend.DEALER)
        endpoint = frontend.bind("tcp://127.0.0.1:0")
        worker.connect(workers.bind("tcp://127.0.0.1:0"))
        async with running(frontend, workers) as forwarder:
            async with backend.Context() as leaving:
                leaver = leaving.socket(backend.DEALER)
                leaver.connect(endpoint)
                await leaver.send(b"x")
                orphan = await worker.recv_multipart()
            await eventually(lambda: frontend.statistics().num_peers == 0)
            await worker.send_multipart(orphan)
            await eventually(lambda: forwarder.statistics().num_undeliverable == 1)
            client = ctx.socket(backend.DEALER)
            client.connect(endpoint)
            await client.send(b"y")
            await worker.send_multipart(await worker.recv_multipart())
            assert await client.recv() == b"y"


@pytest.mark.usefixtures("any_loop")
async def test_message_too_large_for_the_other_side_is_counted(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        frontend = ctx.socket(backend.PULL)
        onward = ctx.socket(backend.PUSH, max_message_bytes=10)
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        rx.connect(onward.bind("tcp://127.0.0.1:0"))
        async with running(frontend, onward) as forwarder:
            await tx.send(bytes(11))
            await tx.send(bytes(10))
            assert await rx.recv() == bytes(10)
            assert forwarder.statistics().num_undeliverable == 1


@pytest.mark.usefixtures("any_loop")
async def test_message_in_hand_survives_a_cancellation(backend: ModuleType) -> None:
    num_messages = 60
    async with backend.Context() as ctx:
        frontend = ctx.socket(backend.PULL)
        onward = ctx.socket(backend.PUSH, hwm_messages=1)
        tx = ctx.socket(backend.PUSH)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        endpoint = onward.bind("tcp://127.0.0.1:0")
        forwarder = Proxy(frontend, onward)
        for number in range(num_messages):
            await tx.send(str(number).encode())
        # The queue takes one, and one stays in hand.
        for _ in range(3):
            task = asyncio.ensure_future(forwarder.run())
            await eventually(lambda: frontend.statistics().num_messages_received > 1)
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        rx = ctx.socket(backend.PULL)
        rx.connect(endpoint)
        stop = asyncio.Event()
        task = asyncio.ensure_future(forwarder.run(stop))
        for number in range(num_messages):
            assert await rx.recv() == str(number).encode()
        stop.set()
        await task
        assert forwarder.undelivered() == []


@pytest.mark.usefixtures("any_loop")
async def test_message_in_hand_is_told_of(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with backend.Context() as ctx:
        frontend = ctx.socket(backend.PULL)
        onward = ctx.socket(backend.PUSH, hwm_messages=1, linger=0)
        tx = ctx.socket(backend.PUSH)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        forwarder = Proxy(frontend, onward)
        for data in (b"queued", b"in hand"):
            await tx.send(data)
        task = asyncio.ensure_future(forwarder.run())
        await eventually(lambda: forwarder._to_backend.message == [b"in hand"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert forwarder.undelivered() == [[b"in hand"]]
        assert forwarder.undelivered() == []

        await tx.send(b"again")
        task = asyncio.ensure_future(proxy(frontend, onward))
        await eventually(lambda: frontend.statistics().num_messages_received == 3)
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "1 messages were taken" in caplog.text


@pytest.mark.usefixtures("any_loop")
@pytest.mark.parametrize("is_taken", [False, True])
async def test_message_that_only_waits_to_be_captured_is_not_sent_twice(
    backend: ModuleType, is_taken: bool
) -> None:
    async with backend.Context() as ctx:
        frontend, onward = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        rx.connect(onward.bind("tcp://127.0.0.1:0"))
        capture = ctx.socket(backend.PUSH, hwm_messages=1)
        endpoint = capture.bind("tcp://127.0.0.1:0")
        forwarder = Proxy(frontend, onward, capture)
        task = asyncio.ensure_future(forwarder.run())
        for data in (b"0", b"1", b"2"):
            await tx.send(data)
        # The queue of the capture takes the first, the second waits for it.
        assert [await rx.recv(), await rx.recv()] == [b"0", b"1"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if is_taken:
            assert forwarder.undelivered() == []
        log = ctx.socket(backend.PULL)
        log.connect(endpoint)
        async with running_again(forwarder):
            assert await rx.recv() == b"2"
            captured = [b"0", b"2"] if is_taken else [b"0", b"1", b"2"]
            assert [await log.recv() for _ in captured] == captured
        assert rx.recv_nowait() is None


@pytest.mark.usefixtures("any_loop")
async def test_stop_waits_until_what_was_taken_is_accepted(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        frontend = ctx.socket(backend.PULL)
        onward = ctx.socket(backend.PUSH, hwm_messages=1)
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        endpoint = onward.bind("tcp://127.0.0.1:0")
        stop = asyncio.Event()
        forwarder = Proxy(frontend, onward)
        task = asyncio.ensure_future(forwarder.run(stop))
        for data in (b"queued", b"in hand"):
            await tx.send(data)
        await eventually(lambda: forwarder._to_backend.message == [b"in hand"])
        stop.set()
        await settle()
        assert not task.done()
        rx.connect(endpoint)
        assert await rx.recv() == b"queued"
        assert await rx.recv() == b"in hand"
        await task


@pytest.mark.usefixtures("any_loop")
async def test_closed_socket_ends_the_proxy(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        frontend, onward = ctx.socket(backend.ROUTER), ctx.socket(backend.DEALER)
        task = asyncio.ensure_future(proxy(frontend, onward))
        await settle()
        onward.close()
        with pytest.raises(ClosedError):
            await task


@pytest.mark.usefixtures("any_loop")
async def test_flood_lets_other_tasks_run(backend: ModuleType) -> None:
    num_messages = 900
    async with backend.Context() as ctx:
        frontend, onward = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx = ctx.socket(backend.PUSH)
        tx.connect(frontend.bind("tcp://127.0.0.1:0"))
        await tx.send_many([b"x"] * num_messages)
        await eventually(
            lambda: frontend.statistics().num_messages_received == num_messages
        )
        async with running(frontend, onward) as forwarder:
            seen = [0]
            while seen[-1] < num_messages:
                await asyncio.sleep(0)
                seen.append(forwarder.statistics().num_messages_to_backend)
            steps = [after - before for before, after in itertools.pairwise(seen)]
            assert max(steps) <= 100
        onward.close(linger=0)


async def test_sockets_that_do_not_fit_are_refused(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        pull, push = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        with pytest.raises(LocalProtocolError, match="two sockets"):
            Proxy(pull, pull)
        with pytest.raises(LocalProtocolError, match="neither socket can send"):
            Proxy(pull, ctx.socket(backend.PULL))
        # Either way round.
        Proxy(push, pull)


def test_blocking_proxy_forwards_until_its_descriptor_is_readable(
    backend: ModuleType,
) -> None:
    readable, writable = os.pipe()
    endpoints: list[str] = []
    is_bound = threading.Event()
    results: list[Any] = []

    def forward() -> None:
        with backend.Context() as ctx, backend.Context() as other:
            frontend, workers = ctx.socket(backend.ROUTER), other.socket(backend.DEALER)
            endpoints.append(frontend.bind("tcp://127.0.0.1:0"))
            endpoints.append(workers.bind("tcp://127.0.0.1:0"))
            is_bound.set()
            results.append(proxy_blocking(frontend, workers, stop=readable))

    thread = threading.Thread(target=forward)
    thread.start()
    assert is_bound.wait(PATIENCE)
    with backend.Context() as ctx:
        client, worker = ctx.socket(backend.DEALER), ctx.socket(backend.DEALER)
        client.connect(endpoints[0])
        worker.connect(endpoints[1])
        for _ in range(10):
            client.send_blocking(b"question", timeout=PATIENCE)
            peer, _ = worker.recv_multipart_blocking(timeout=PATIENCE)
            worker.send_multipart_blocking([peer, b"answer"], timeout=PATIENCE)
            assert client.recv_blocking(timeout=PATIENCE) == b"answer"
    os.write(writable, b"x")
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert results[0].num_messages_to_backend == 10
    assert results[0].num_messages_to_frontend == 10
    for end in (readable, writable):
        os.close(end)
