"""What workers of tests run: they answer a query with what it asks for."""

import asyncio
import logging
import os
import signal
import sys
import time
from typing import Any, TypeAlias

import msgspec

from busduct.messages import Query, QueryResult, StreamChunk, TextModelOutput
from busduct.transport import ReceiverTransport, SenderTransport
from busduct.transport.pool import Response
from busduct.workers import WorkerStart

Requests: TypeAlias = ReceiverTransport[Query | str]
Responses: TypeAlias = SenderTransport[Response]


def echo(start: WorkerStart) -> None:
    """Serve until asked to end."""
    asyncio.run(_echo(start))


def deaf(start: WorkerStart) -> None:
    """Serve, and end only when killed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.run(_echo(start))


def silent(_start: WorkerStart) -> None:
    """Never become ready."""
    time.sleep(3600)


def dies_at_start(start: WorkerStart) -> None:
    """End before being ready, but for worker 0, which never is."""
    if start.worker_id == 0:
        time.sleep(3600)
    sys.stderr.write(f"no luck for {start.worker_id}\n")
    sys.exit(7)


def dies_when_restarted(start: WorkerStart) -> None:
    """Serve as the first of a worker's processes; as the next, end."""
    if start.connector.generations[start.worker_id]:
        sys.exit(5)
    asyncio.run(_echo(start))


async def _echo(start: WorkerStart) -> None:
    settings = msgspec.json.decode(start.settings)
    async with start.connector.connect(start.worker_id) as (requests, responses):
        await asyncio.sleep(settings.get("pause", 0.0))
        slots = asyncio.Semaphore(settings.get("concurrency", 1 << 20))
        given_up: set[str] = set()
        queue: asyncio.Queue[Query] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_take_up(start, queue, slots, responses, given_up, tasks))
            while (request := await requests.recv()) is not None:
                if isinstance(request, str):
                    given_up.add(request)
                else:
                    queue.put_nowait(request)


async def _take_up(
    start: WorkerStart,
    queue: "asyncio.Queue[Query]",
    slots: asyncio.Semaphore,
    responses: Responses,
    given_up: set[str],
    tasks: asyncio.TaskGroup,
) -> None:
    """Start queries in the order they came, as many at a time as there are slots."""
    settings = msgspec.json.decode(start.settings)
    path = settings.get("starts")
    starts = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND)
    while True:
        query = await queue.get()
        await slots.acquire()
        start.progress.advance()
        if starts is not None:
            os.write(starts, f"{query.id}\n".encode())
        if query.data.get("command") == "now":
            # Without a task of its own: as fast as it gets.
            _answer(query, start.worker_id, responses)
            slots.release()
            continue
        task = tasks.create_task(_serve(query, start.worker_id, responses, given_up))
        task.add_done_callback(lambda _: slots.release())


async def _serve(
    query: Query, worker_id: int, responses: Responses, given_up: set[str]
) -> None:
    command = query.data.get("command", "echo")
    for number in range(query.data.get("num_chunks", 0)):
        responses.send(StreamChunk(id=query.id, response_chunk=str(number)))
    if command == "exit":
        os._exit(query.data.get("code", 3))
    if command == "log":
        logging.getLogger("target").warning(query.data["text"])
    if command == "wait":
        while query.id not in given_up:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await asyncio.sleep(query.data.get("delay", 0.0))
    _answer(query, worker_id, responses)


def _answer(query: Query, worker_id: int, responses: Responses) -> None:
    output = TextModelOutput(output=str(query.data.get("text", "")))
    metadata: dict[str, Any] = {"worker_id": worker_id, "pid": os.getpid()}
    responses.send(QueryResult(id=query.id, response_output=output, metadata=metadata))
