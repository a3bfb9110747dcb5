"""Each setting of ``FMQ_CONFIG_JSON`` does to a queue what it says."""

import asyncio
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.processes.conditions import until

from busduct.errors import ConfigError, FullError
from busduct.fmq import FMQ, EndpointManager, Message, Queue
from busduct.statistics import QueueProducerStatistics

pytestmark = pytest.mark.usefixtures("no_leaks")


class Settings:
    """The environment of a test; the root is its own unless it says another."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self.set()

    def set(self, **values: Any) -> None:
        text = json.dumps({"ipc_root": str(self.root)} | values)
        self._monkeypatch.setenv("FMQ_CONFIG_JSON", text)


@pytest.fixture
def settings(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    yield Settings(ipc_dir, monkeypatch)
    left = [path for path in ipc_dir.rglob("*") if stat.S_ISSOCK(path.stat().st_mode)]
    assert not left, f"sockets are left: {left}"


async def next_of(consumer: Queue) -> Message:
    message = await consumer.get(timeout=20_000)
    assert message is not None
    return message


def counters_of(producer: Queue) -> QueueProducerStatistics:
    statistics = producer.statistics()
    assert isinstance(statistics, QueueProducerStatistics)
    return statistics


async def round_trip(fmq: FMQ, payload: Any = b"x") -> Any:
    """Put and get through the queue ``q``."""
    producer, consumer = fmq.queue("q"), fmq.queue("q", "consumer")
    await producer.put(payload)
    return (await next_of(consumer)).payload


def listening_in(directory: Path) -> list[str]:
    """Return the sockets right in a directory."""
    return [
        path.name for path in directory.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)
    ]


async def test_ipc_root_holds_the_queue(settings: Settings) -> None:
    root = settings.root / "of" / "mine"
    settings.set(ipc_root=str(root))
    async with FMQ() as fmq:
        assert await round_trip(fmq) == b"x"
        assert listening_in(root) == ["fmq_q.ipc"]
        assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize("key", ["address", "path"])
async def test_address_and_path_are_where_the_queue_is(
    settings: Settings, key: str
) -> None:
    path = settings.root / "here.sock"
    settings.set(endpoints={"q": {"protocol": "ipc", key: str(path)}})
    async with FMQ() as fmq:
        assert await round_trip(fmq) == b"x"
        assert listening_in(settings.root) == ["here.sock"]


@pytest.mark.parametrize(
    "values",
    [
        {"endpoints": {"q": {"protocol": "tcp"}}},
        {"default_protocol": "tcp", "endpoints": {"q": {}}},
    ],
)
async def test_protocol_tcp_listens_there(
    settings: Settings, values: dict[str, Any], own_port: int
) -> None:
    values["endpoints"]["q"]["address"] = f"127.0.0.1:{own_port}"
    settings.set(**values)
    async with FMQ() as fmq:
        assert await round_trip(fmq) == b"x"
        assert listening_in(settings.root) == []
        with socket.create_connection(("127.0.0.1", own_port), timeout=5):
            pass


async def test_default_protocol_tcp_without_an_address_is_told(
    settings: Settings,
) -> None:
    settings.set(default_protocol="tcp")
    with pytest.raises(ConfigError, match=r"endpoints\.q to"):
        FMQ().queue("q")


@pytest.mark.parametrize(
    ("values", "num_more"),
    [
        ({}, 0),
        ({"io_threads": 0}, 0),
        ({"io_threads": 1}, 0),
        ({"io_threads": 2}, 1),
        ({"endpoints": {"other": {"io_threads": 4}}}, 1),
    ],
)
async def test_io_threads_of_two_and_more_are_one_thread(
    settings: Settings, values: dict[str, Any], num_more: int
) -> None:
    settings.set(**values)
    # NB: some of them may have been joined by other tests, and still be listed.
    before = set(os.listdir("/proc/self/task"))
    async with FMQ() as fmq:
        assert await round_trip(fmq) == b"x"
        assert len(set(os.listdir("/proc/self/task")) - before) == num_more


@pytest.mark.parametrize(
    ("values", "is_copy"),
    [
        ({}, False),
        ({"copy": True}, True),
        ({"endpoints": {"q": {"copy": True}}}, True),
        ({"copy": True, "endpoints": {"q": {"copy": False}}}, False),
    ],
)
async def test_copy_gives_memory_that_can_be_written(
    settings: Settings, values: dict[str, Any], is_copy: bool
) -> None:
    settings.set(**values)
    async with FMQ() as fmq:
        array = await round_trip(fmq, np.arange(100_000))
        assert array.flags.writeable is is_copy
        assert array.sum() == sum(range(100_000))
        del array


async def test_sndhwm_bounds_what_a_producer_holds(settings: Settings) -> None:
    settings.set(socket_config={"sndhwm": 3})
    async with FMQ() as fmq:
        producer = fmq.queue("q", on_full="error", linger=0)
        for number in range(3):
            await producer.put(number)
        with pytest.raises(FullError, match="3 messages"):
            await producer.put(3)


async def test_sndhwm_of_zero_is_no_bound(settings: Settings) -> None:
    settings.set(socket_config={"sndhwm": 0, "linger": 0})
    async with FMQ() as fmq:
        producer = fmq.queue("q", on_full="error")
        await producer.put_many(range(20_000))
        assert counters_of(producer).num_pending == 20_000


@pytest.mark.parametrize(("rcvhwm", "num_sent"), [(5, 5), (0, 400)])
async def test_rcvhwm_bounds_what_a_consumer_is_sent_ahead(
    settings: Settings, rcvhwm: int, num_sent: int
) -> None:
    settings.set(socket_config={"rcvhwm": rcvhwm})
    async with FMQ() as fmq:
        consumer = fmq.queue("q", "consumer", ack="manual")
        producer = fmq.queue("q")
        await producer.put_many(range(400))
        await until(lambda: counters_of(producer).num_unacknowledged >= num_sent)
        first = await next_of(consumer)
        assert first.payload == 0
        # Its acknowledgement is what makes room for one more.
        assert counters_of(producer).num_unacknowledged == num_sent
        first.ack()
        for number in range(1, 400):
            message = await next_of(consumer)
            assert message.payload == number
            message.ack()


async def test_linger_bounds_how_long_close_hands_over(settings: Settings) -> None:
    settings.set(socket_config={"linger": 200})
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        await producer.put(b"for nobody")
        before = time.monotonic()
        await producer.close()
        # Without the setting it takes 5 s.
        assert 0.19 <= time.monotonic() - before < 4.9


@pytest.mark.parametrize(
    ("key", "option"), [("sndbuf", socket.SO_SNDBUF), ("rcvbuf", socket.SO_RCVBUF)]
)
async def test_buffers_are_those_of_the_connections(
    settings: Settings, key: str, option: int
) -> None:
    async with FMQ(shm="off") as fmq:
        assert await round_trip(fmq) == b"x"
        assert 2 * 34_567 not in buffer_sizes(option)
    settings.set(socket_config={key: 34_567})
    async with FMQ(shm="off") as fmq:
        assert await round_trip(fmq) == b"x"
        # Linux tells the double of what was asked for.
        assert 2 * 34_567 in buffer_sizes(option)


def buffer_sizes(option: int) -> set[int]:
    """Return what the buffers of this process's sockets hold."""
    sizes = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.stat().st_mode):
                with socket.socket(fileno=os.dup(int(path.name))) as other:
                    sizes.add(other.getsockopt(socket.SOL_SOCKET, option))
    return sizes


@pytest.mark.parametrize("immediate", [1, True])
async def test_immediate_waits_for_a_consumer(
    settings: Settings, immediate: object
) -> None:
    settings.set(socket_config={"immediate": immediate})
    async with FMQ() as fmq:
        producer = fmq.queue("q")
        putting = asyncio.ensure_future(producer.put(b"x"))
        await until(lambda: counters_of(producer).num_waiting == 1)
        assert counters_of(producer).num_put == 0
        consumer = fmq.queue("q", "consumer")
        assert (await next_of(consumer)).payload == b"x"
        assert await putting == 0


async def test_the_documented_settings_are_those_of_a_queue(
    settings: Settings,
) -> None:
    path = settings.root / "fmq_test_queue.ipc"
    endpoint = {"protocol": "ipc", "address": str(path), "io_threads": 1, "copy": False}
    settings.set(io_threads=1, copy=False, endpoints={"q": endpoint})
    assert EndpointManager.get_endpoint("q").address == str(path)
    async with FMQ() as fmq:
        assert await round_trip(fmq) == b"x"
        assert listening_in(settings.root) == ["fmq_test_queue.ipc"]
