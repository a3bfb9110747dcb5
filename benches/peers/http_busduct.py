"""Requests by the client of `busduct.endpoint`, on one pool."""

import asyncio

import http_task

from busduct.endpoint import SSEParser
from busduct.endpoint._http._connector import Connector
from busduct.endpoint._http._limits import PoolLimits
from busduct.endpoint._http._origin import Origin
from busduct.endpoint._http._pool import ConnectionPool
from busduct.endpoint._http._protocol import Connection
from busduct.endpoint._http._template import RequestTemplate
from busduct.messages import ErrorData


class Request:
    """Make one request after the other until the task is over."""

    def __init__(
        self, task: http_task.Task, pool: ConnectionPool, template: RequestTemplate
    ) -> None:
        self.num_attempts = 0
        self.connection: Connection | None = None
        self._task = task
        self._pool = pool
        self._template = template
        self.ended = asyncio.get_running_loop().create_future()
        self._begin()

    def take(self) -> bytes:
        return self._template.build(
            http_task.BODY, is_streaming=bool(self._task.num_events), headers=None
        )

    def receive_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        if status != 200:
            self.ended.set_exception(ValueError(f"status {status}"))

    def receive_body(self, data: bytes) -> None:
        if self._task.num_events:
            self._num_events += len(self._parser.feed(data))
        else:
            self._body.append(data)

    def complete(self) -> None:
        came = self._num_events if self._task.num_events else b"".join(self._body)
        if self._task.note(came):
            self._begin()
        else:
            self.ended.set_result(None)

    def fail(self, error: ErrorData) -> None:
        self.ended.set_exception(ValueError(str(error)))

    def _begin(self) -> None:
        if self._task.num_events:
            self._num_events = 0
            self._parser = SSEParser()
        else:
            self._body: list[bytes] = []
        self._pool.submit(self)


async def ask(task: http_task.Task) -> None:
    origin = Origin.of(f"http://127.0.0.1:{task.port}/v1/chat/completions")
    limits = PoolLimits(
        max_connections=task.num_connections,
        max_concurrent_connects=128,
        max_idle_time=4.0,
        max_retries=1,
        max_header_bytes=64 << 10,
        max_body_bytes=1 << 30,
    )
    pool = ConnectionPool(Connector(origin, None, 10.0), limits)
    template = RequestTemplate(origin)
    requests = [Request(task, pool, template) for _ in range(task.num_connections)]
    await asyncio.gather(*(request.ended for request in requests))
    await pool.close()


if __name__ == "__main__":
    http_task.main(ask)
