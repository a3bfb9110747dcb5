"""A Unix-socket stream of asyncio on uvloop: 4 bytes of length, then the payload.

The receiver's `readexactly` copies each message out as `bytes`. A batch is one
`writelines`; it is received one by one, as there is no call for more.
"""

import asyncio

from driver import Task, main, report_rate
from round_trips import ask_with
from unix_socket import connect, path_of

# What the reader holds before it stops reading: at least some of the largest messages.
LIMIT = 4 << 20


class Connection:
    """One stream with messages on it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        """Send one, and wait while the transport holds too much."""
        self._writer.write(len(message).to_bytes(4, "little"))
        self._writer.write(message)
        await self._writer.drain()

    async def send_many(self, messages: list[bytes]) -> None:
        """Send several in one call."""
        framed = [
            part
            for message in messages
            for part in (len(message).to_bytes(4, "little"), message)
        ]
        self._writer.writelines(framed)
        await self._writer.drain()

    async def recv(self) -> bytes:
        """Receive one."""
        header = await self._reader.readexactly(4)
        return await self._reader.readexactly(int.from_bytes(header, "little"))

    @classmethod
    async def connected(cls, task: Task) -> "Connection":
        """Connect to the other side."""
        sock = await asyncio.to_thread(connect, task.endpoint)
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=LIMIT))

    @classmethod
    async def accepted(cls, task: Task) -> "Connection":
        """Bind, and wait for the other side."""
        found = asyncio.get_running_loop().create_future()

        def on_connection(
            *streams: asyncio.StreamReader | asyncio.StreamWriter,
        ) -> None:
            found.set_result(streams)

        path = path_of(task.endpoint)
        server = await asyncio.start_unix_server(on_connection, path, limit=LIMIT)
        streams = await found
        server.close()
        return cls(*streams)


class Peer:
    """Plain asyncio code."""

    async def send(self, task: Task) -> None:
        """Send without end."""
        connection = await Connection.connected(task)
        await connection.send_many(task.first_messages())
        payload, batch = task.payload, [task.payload] * task.chunk
        while task.batch:
            await connection.send_many(batch)
        while True:
            await connection.send(payload)

    async def receive(self, task: Task) -> None:
        """Receive one by one and count."""
        connection = await Connection.accepted(task)
        for index in range(task.num_checked):
            task.check(index, await connection.recv())
        meter, chunk = task.meter(), task.chunk
        while meter.more(chunk):
            for _ in range(chunk):
                await connection.recv()
        report_rate(meter)

    async def ping(self, task: Task) -> None:
        """Measure round trips."""
        connection = await Connection.connected(task)
        await ask_with(task, connection.send, connection.recv)

    async def pong(self, task: Task) -> None:
        """Echo without end."""
        connection = await Connection.accepted(task)
        while True:
            await connection.send(await connection.recv())


if __name__ == "__main__":
    main(Peer())
