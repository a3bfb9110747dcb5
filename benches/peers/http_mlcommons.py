"""Requests by the client of mlcommons/endpoints, as its worker makes them.

Of its checkout (see `endpoints_source`) only the module of HTTP is used.
"""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import http_task
from driver import skip
from endpoints_source import VARIABLE

from busduct.endpoint import SSEParser

MODULE = "inference_endpoint/endpoint_client/http.py"


def load() -> ModuleType:
    source = os.environ.get(VARIABLE)
    if not source:
        skip(f"{VARIABLE} is not set (the src directory of an mlcommons/endpoints)")
    spec = importlib.util.spec_from_file_location("http_client", Path(source, MODULE))
    if spec is None or spec.loader is None:
        skip(f"there is no {MODULE}")
    found = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


async def ask(task: http_task.Task) -> None:
    http = load()
    loop = asyncio.get_running_loop()
    # As its worker has it, which needs Python 3.12.
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    pool = http.ConnectionPool("127.0.0.1", task.port, loop, task.num_connections)
    template = http.HttpRequestTemplate.from_url(
        "127.0.0.1", task.port, "/v1/chat/completions"
    )
    await pool.warmup(task.num_connections)
    ended = loop.create_future()
    under_way: set[asyncio.Task[None]] = set()

    async def answer(connection: Any) -> None:
        """Do what its worker does in the task that it makes for each request."""
        status, _ = await connection.protocol.read_headers()
        if status != 200:
            ended.set_exception(ValueError(f"status {status}"))
        came: bytes | int
        if task.num_events:
            came = 0
            parser = SSEParser()
            async for pieces in connection.protocol.iter_body():
                came += len(parser.feed(b"".join(pieces)))
        else:
            came = await connection.protocol.read_body()
        pool.release(connection)
        if task.note(came):
            free.put_nowait(None)
        elif not ended.done():
            ended.set_result(None)

    async def take() -> None:
        """Do what its worker's loop does for each query."""
        while True:
            await free.get()
            request = http.InFlightRequest(
                query_id="",
                http_bytes=template.build_request(
                    http_task.BODY, bool(task.num_events), {}
                ),
                is_streaming=bool(task.num_events),
            )
            request.connection = await pool.acquire()
            request.connection.protocol.write(request.http_bytes)
            answering = loop.create_task(answer(request.connection))
            under_way.add(answering)
            answering.add_done_callback(under_way.discard)

    free: asyncio.Queue[None] = asyncio.Queue()
    for _ in range(task.num_connections):
        free.put_nowait(None)
    taking = loop.create_task(take())
    await ended
    taking.cancel()
    await pool.close()


if __name__ == "__main__":
    load()
    http_task.main(ask)
