"""A process that speaks ZeroMQ and msgpack is a full worker, or a full pool."""

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from busduct.messages import Query, QueryResult, StreamChunk, TextModelOutput
from busduct.transport import (
    WorkerEndpoints,
    ZMQTransportConfig,
    ZmqWorkerConnector,
    ZmqWorkerPoolTransport,
)

PROGRAM = Path(__file__).with_name("pool_program.py")


async def program(side: str, endpoints: WorkerEndpoints) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        PROGRAM,
        side,
        *msgspec.structs.astuple(endpoints),
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.fixture(autouse=True)
def _chosen(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)


async def test_pyzmq_is_a_worker_of_our_pool() -> None:
    pool = ZmqWorkerPoolTransport.create(asyncio.get_running_loop(), 1)
    worker = await program("worker", pool.worker_connector.endpoints(0))
    await pool.wait_for_workers_ready(20.0)
    for name, prompt in [("a", "hello"), ("b", "x" * 300_000), ("c", "stop")]:
        pool.send(0, Query(id=name, data={"prompt": prompt}))
        assert await pool.recv() == StreamChunk(
            id=name, response_chunk=prompt[:1], metadata={"first_chunk": True}
        )
        result = await pool.recv()
        assert isinstance(result, QueryResult)
        assert (result.id, result.metadata) == (name, {"worker_id": 0})
        assert result.response_output == TextModelOutput(output=prompt.upper())
        assert result.completed_at > 0
    assert (await worker.communicate())[0] == b""
    await pool.wait_worker_gone(0)
    pool.cleanup()


async def test_pyzmq_is_the_pool_of_our_worker(ipc_dir: Path) -> None:
    connector = ZmqWorkerConnector(
        directory=str(ipc_dir), generations=(0,), config=ZMQTransportConfig()
    )
    pool = await program("pool", connector.endpoints(0))
    async with connector.connect(0) as (receiver, sender):
        for name in "abc":
            query = await receiver.recv()
            assert query == Query(
                id=name,
                data={"prompt": f"about {name}"},
                headers={"x": "y"},
                created_at=12.5,
            )
            sender.send(StreamChunk(id=name, response_chunk="x"))
            output = TextModelOutput(output=("a", "b"), reasoning="r")
            sender.send(QueryResult(id=name, response_output=output, completed_at=5))
        said = json.loads((await pool.communicate())[0])
    expected: list[object] = [0]
    for name in "abc":
        output_array = ["TextModelOutput", ["a", "b"], "r", None]
        expected += [
            ["stream_chunk", name, "x", {}],
            ["query_result", name, output_array, {}, None, 5],
        ]
    assert said == expected
