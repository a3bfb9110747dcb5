"""What a bad peer says harms nobody else."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.transport.pool.conftest import Kind, Pool
from tests.transport.pool.test_pool import query, result, taken
from tests.transport.waiting import eventually

from busduct._backend import load_backend
from busduct.transport import ZmqWorkerPoolTransport

NewPool = Callable[..., Pool]

NONSENSE = [
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    msgspec.msgpack.encode(7),
    msgspec.msgpack.encode(["query_result", 7]),
    msgspec.msgpack.encode(result("cut"))[:-1],
    msgspec.msgpack.encode(result("followed")) + b"\x00",
    b"\x92\xacstream_chunk\xa2\xff\xfe",
    os.urandom(200_000),
]

# As of ZMTP 3.1: the NULL mechanism, and a PUSH.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


@pytest.mark.parametrize("take", ["recv", "poll", "drain"])
async def test_nonsense_first_in_the_queue_is_dropped_and_the_rest_arrives(
    new_pool: NewPool, caplog: pytest.LogCaptureFixture, take: str
) -> None:
    pool = new_pool()
    names: list[str] = []
    async with pool.worker_connector.connect(0) as (_, sender):
        with caplog.at_level(logging.WARNING, "busduct.transport"):
            for number, payload in enumerate(NONSENSE):
                sender._socket.send_nowait(payload)
                sender.send(result(number))
            sender._socket.send_multipart_nowait([b"a", b"b"])
            sender.send(result("last"))
            while names[-1:] != ["last"]:
                if take == "recv":
                    names += await taken(pool, 1)
                elif take == "poll":
                    item = pool.poll()
                    names += [item.id] if item else []
                else:
                    names += [item.id for item in pool.drain()]
                await asyncio.sleep(0)
    assert names == [*map(str, range(len(NONSENSE))), "last"]
    assert pool.stats().num_malformed == len(NONSENSE) + 1
    told = [each for each in caplog.records if each.name == "busduct.transport"]
    assert len(told) == 1


async def test_worker_drops_nonsense_and_goes_on(new_pool: NewPool) -> None:
    pool = new_pool()
    endless = b"\x92\xa1a\x81\xa1b" + b"\x91" * 100_000
    for payload in (b"\xc1", b"", endless):
        pool._requests.by_worker[0].send_nowait(payload)
    pool.send(0, query("a"))
    async with pool.worker_connector.connect(0) as (receiver, _):
        assert await taken(receiver, 1) == ["a"]
        assert receiver.num_malformed == 3


async def test_nonsense_about_readiness_is_counted_and_passed_over(
    process_kind: Kind,
) -> None:
    pool = process_kind.create()
    connector: Any = pool.worker_connector
    backend = load_backend()
    with backend.Context() as context, context.socket(backend.PUSH) as stranger:
        stranger.connect(connector.endpoints(0).readiness)
        for payload in (b"\xc1", b"", msgspec.msgpack.encode(9)):
            stranger.send_nowait(payload)
        stranger.send_multipart_nowait([b"\x00", b"\x00"])
        await eventually(lambda: pool.stats().num_unknown_ready)
        await eventually(lambda: pool.stats().num_malformed_ready == 3)
        assert pool.ready_workers == frozenset()
        async with connector.connect(0):
            await pool.wait_for_workers_ready(20.0)
    pool.cleanup()


async def test_garbage_on_every_endpoint_harms_nobody(process_kind: Kind) -> None:
    pool = process_kind.create()
    connector: Any = pool.worker_connector
    async with connector.connect(0) as (receiver, sender):
        strangers = []
        for endpoint in connector.endpoints(0).__struct_fields__:
            stranger = socket.socket(socket.AF_UNIX)
            path = getattr(connector.endpoints(0), endpoint).removeprefix("ipc://")
            stranger.connect(path)
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            strangers.append(stranger)
        await pool.wait_for_workers_ready(20.0)
        for number in range(100):
            pool.send(0, query(number))
            sender.send(result(number))
        assert await taken(receiver, 100) == [str(n) for n in range(100)]
        assert await taken(pool, 100) == [str(n) for n in range(100)]
        for stranger in strangers:
            stranger.close()
    pool.cleanup()


async def test_worker_sends_more_than_the_pool_takes_and_only_its_link_ends(
    process_kind: Kind,
) -> None:
    pool = process_kind.create(2, max_message_bytes=10_000)
    generous = msgspec.structs.replace(pool.config, max_message_bytes=1 << 20)
    bad = msgspec.structs.replace(pool.worker_connector, config=generous)
    async with (
        bad.connect(0) as (_, hostile),
        pool.worker_connector.connect(1) as (_, sender),
    ):
        hostile.send(result("too large", 100_000))
        await asyncio.wait_for(pool.wait_worker_gone(0), 20.0)
        sender.send(result("a"))
        assert await taken(pool, 1) == ["a"]
    pool.cleanup()


async def test_what_was_said_in_one_breath_before_death_can_be_polled(
    process_kind: Kind,
) -> None:
    if process_kind.type is not ZmqWorkerPoolTransport:
        pytest.skip("the peer has no shared memory")
    pool = process_kind.create()
    connector: Any = pool.worker_connector
    payload = msgspec.msgpack.encode(result("last words"))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(connector.endpoints(0).response.removeprefix("ipc://"))
        peer.setblocking(False)
        peer.send(GREETING)
        heard = b""
        while b"READY" not in heard:
            heard += await asyncio.get_running_loop().sock_recv(peer, 4096)
        peer.send(READY + bytes((0, len(payload))) + payload)
    # The loop has not had its turn: to the pool, nobody is connected yet.
    await pool.wait_worker_gone(0)
    assert [item.id for item in pool.drain()] == ["last words"]
    pool.cleanup()
