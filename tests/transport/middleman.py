"""Somebody on the path of a keyed connection, who sees all and changes some."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

__all__ = ["Middleman", "RecordChange", "pass_on"]

RecordChange = Callable[[int, bytes], Sequence[bytes]]
"""Given the number of a record and its bytes, what to send instead."""


def pass_on(number: int, record: bytes) -> Sequence[bytes]:
    """Change nothing."""
    return [record]


class Middleman:
    """Passes connections on to an endpoint, one side's of the first by `change`.

    Attributes:
        endpoint: Where to connect instead.
        said: What each side said on the first connection, by side.
    """

    def __init__(
        self, target: str, change: RecordChange = pass_on, side: str = "client"
    ) -> None:
        self._target = target
        self._change = change
        self._side = side
        self._num_connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoint = ""
        self.said = {"client": bytearray(), "server": bytearray()}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.endpoint = f"tcp://{host}:{port}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        is_first = self._num_connections == 0
        self._num_connections += 1
        host, _, port = self._target.removeprefix("tcp://").rpartition(":")
        streams = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, streams[1], "client", is_first))
                group.create_task(self._copy(streams[0], writer, "server", is_first))
        finally:
            for each in (writer, streams[1]):
                each.transport.abort()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        side: str,
        is_first: bool,
    ) -> None:
        try:
            if is_first and side == self._side:
                await self._copy_records(reader, writer)
            while data := await reader.read(65536):
                if is_first:
                    self.said[side] += data
                writer.write(data)
            writer.write_eof()
        except (ConnectionError, asyncio.IncompleteReadError):
            # One side has ended the connection, so the other learns it too.
            writer.transport.abort()

    async def _copy_records(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # The greeting and the commands, each of which waits for the other side's.
        for nbytes in {"client": (64, 41, 43), "server": (64, 74)}[self._side]:
            opening = await reader.readexactly(nbytes)
            self.said[self._side] += opening
            writer.write(opening)
        number = 0
        while True:
            length = await reader.readexactly(4)
            rest = await reader.readexactly(int.from_bytes(length, "big") + 16)
            self.said[self._side] += length + rest
            for record in self._change(number, length + rest):
                writer.write(record)
            number += 1
