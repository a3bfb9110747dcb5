"""What programs for FastDeploy's FMQ do, with nothing but their import changed.

Nothing is closed here, as nothing is there.
"""

import asyncio
import json
import subprocess
import sys
import threading
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import eventually

from busduct.fmq import (
    FMQ,
    Descriptor,
    Endpoint,
    EndpointManager,
    FMQFactory,
    Message,
    Role,
)


@pytest.fixture(autouse=True)
def _home(backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(ipc_dir))
    monkeypatch.delenv("FMQ_CONFIG_JSON", raising=False)


def payload_of(message: Message | None) -> Any:
    assert message is not None
    return message.payload


def test_small_and_large_payloads_in_one_loop_after_the_other() -> None:
    fmq = FMQ()

    async def small() -> None:
        producer = fmq.queue("test_queue", role="producer")
        consumer = fmq.queue("test_queue", role="consumer")
        await producer.put(b"hello world")
        message = await consumer.get(timeout=30_000)
        assert isinstance(message, Message)
        assert message.payload == b"hello world"
        assert message.descriptor is None

    async def large() -> None:
        payload = b"x" * (2 * 1024 * 1024)
        producer = fmq.queue("large_queue", role="producer")
        consumer = fmq.queue("large_queue", role="consumer")
        await producer.put(payload, shm_threshold=1024 * 1024)
        message = await consumer.get(timeout=30_000)
        assert message is not None
        assert message.descriptor is not None
        assert message.payload == payload

    for _ in range(2):
        asyncio.run(small())
        asyncio.run(large())


def test_topic_calls_back() -> None:
    fmq = FMQ()
    received = []

    async def on_message(message: Message) -> None:
        received.append(message.payload)

    async def main() -> None:
        topic = fmq.topic("test_topic")
        await topic.sub(on_message)
        await asyncio.sleep(0.1)
        await topic.pub("hello")
        # NB: programs sleep for 0.2 s; a process that is held up may need more turns.
        await eventually(lambda: received)

    asyncio.run(main())
    assert received == ["hello"]


def test_roles_are_kept() -> None:
    async def main() -> None:
        fmq = FMQ()
        producer = fmq.queue("roles")
        consumer = fmq.queue("roles", role="consumer")
        assert (producer.name, producer.role) == ("roles", Role.PRODUCER)
        with pytest.raises(PermissionError):
            await producer.get()
        with pytest.raises(PermissionError):
            await consumer.put("no")
        assert await consumer.get(timeout=20) is None
        await consumer.close()
        await fmq.destroy()

    asyncio.run(main())


def test_factory_on_the_class() -> None:
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_names_and_contexts(self) -> None:
            producer = FMQFactory.q_a2e_producer()
            consumer = FMQFactory.q_a2e_consumer()
            assert (producer.name, consumer.name) == ("q_a2e", "q_a2e")
            assert producer.context is consumer.context

        async def test_round_trip(self) -> None:
            producer = FMQFactory.q_a2e_producer()
            consumer = FMQFactory.q_a2e_consumer()
            await producer.put({"k": "v"})
            message = await consumer.get(timeout=30_000)
            assert isinstance(message, Message)
            assert payload_of(message) == {"k": "v"}

        async def test_queues_are_independent(self) -> None:
            to_engine = FMQFactory.q_a2e_producer()
            to_worker = FMQFactory.q_e2w_producer()
            engine = FMQFactory.q_a2e_consumer()
            worker = FMQFactory.q_e2w_consumer()
            await to_engine.put("for the engine")
            await to_worker.put("for the worker")
            assert payload_of(await engine.get(30_000)) == "for the engine"
            assert payload_of(await worker.get(30_000)) == "for the worker"

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
    outcome = unittest.TextTestRunner().run(suite)
    assert (outcome.testsRun, outcome.wasSuccessful()) == (3, True)
    FMQFactory.destroy()


def test_descriptors_go_by_other_ways() -> None:
    data = b"by another way"
    assert Descriptor.create(data).read_and_unlink() == data
    message = Message(payload=None, descriptor=Descriptor.create(data))
    arrived = Message.deserialize(message.serialize())
    assert arrived.payload is None
    assert arrived.descriptor.size == len(data)
    assert arrived.descriptor.read_and_unlink() == data


def test_configuration_by_environment(
    ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ipc_dir / "root"
    path = f"{root}/fmq_test_queue.ipc"
    one = {"protocol": "ipc", "address": path, "io_threads": 1, "copy": False}
    config = {
        "ipc_root": str(root),
        "io_threads": 1,
        "copy": False,
        "endpoints": {"test_queue": one},
    }
    monkeypatch.setenv("FMQ_CONFIG_JSON", json.dumps(config))
    EndpointManager.load_config()
    assert EndpointManager.get_endpoint("test_queue") == Endpoint(
        protocol="ipc", address=path, io_threads=1, copy=False
    )
    assert EndpointManager.get_endpoint("other").address == f"{root}/fmq_other.ipc"

    async def main() -> None:
        fmq = FMQ()
        consumer = fmq.queue("test_queue", role="consumer")
        await fmq.queue("test_queue").put("found")
        assert payload_of(await consumer.get(timeout=30_000)) == "found"
        assert await asyncio.to_thread(Path(path).is_socket)

    asyncio.run(main())


@pytest.mark.parametrize("is_thread", [True, False])
def test_one_line_without_a_loop(is_thread: bool) -> None:
    line = 'asyncio.run(FMQ().queue("manifest", "producer").put({"step": 1}))'
    code = f"import asyncio; from busduct.fmq import FMQ; {line}"

    async def main() -> Any:
        return payload_of(await FMQ().queue("manifest", "consumer").get(30_000))

    if is_thread:
        thread = threading.Thread(target=exec, args=(code,))
        thread.start()
        assert asyncio.run(main()) == {"step": 1}
        thread.join()
        return
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", code])
    assert asyncio.run(main()) == {"step": 1}
    assert process.wait(30) == 0


def test_benchmark_loop() -> None:
    # Many producers in processes of their own, each message a dictionary with bytes.
    code = """
import asyncio, os, sys, time
from busduct.fmq import FMQ

async def main(count):
    queue = FMQ().queue("bench", role="producer")
    for i in range(count):
        await queue.put(
            {"pid": os.getpid(), "i": i, "send_ts": time.perf_counter(),
             "payload": b"x" * (1 << 20)})

asyncio.run(main(int(sys.argv[1])))
"""
    producers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, "20"])
        for _ in range(2)
    ]

    async def main() -> list[tuple[int, int, int]]:
        consumer = FMQ().queue("bench", role="consumer")
        found = []
        for _ in range(40):
            payload = payload_of(await consumer.get(timeout=30_000))
            found.append((payload["pid"], payload["i"], len(payload["payload"])))
        return found

    found = asyncio.run(main())
    pids = [process.pid for process in producers]
    assert sorted(found) == [
        (pid, i, 1 << 20) for pid in sorted(pids) for i in range(20)
    ]
    assert [process.wait(30) for process in producers] == [0, 0]
