"""A server that does what a test tells it, byte by byte, and is often no good one."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    index: int

    async def request(self) -> bytes:
        """Read a request, and return its body.

        Raises:
            EOFError: The client closed the connection.
        """
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.partition(b"Content-Length: ")[2].partition(b"\r")[0]
        return await self.reader.readexactly(int(length))

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def event(self, data: bytes) -> None:
        await self.write(chunk(b"data: " + data + b"\n\n"))

    def reset(self) -> None:
        """Close by a reset, not by an end."""
        made = self.writer.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass


Script = Callable[[Peer], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def say_ok(peer: Peer) -> None:
    """Answer every request."""
    while True:
        await peer.request()
        await peer.write(OK)


def replying(*replies: bytes) -> Script:
    """Answer a request with these bytes, each written for itself, and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for each in replies:
            await peer.write(each)
            await asyncio.sleep(0)

    return script


@dataclass
class Server:
    """What a running server has seen."""

    port: int
    peers: list[Peer] = field(default_factory=list)
    num_open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


@contextlib.asynccontextmanager
async def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Server]:
    """Run a script for each connection; one that returns closes it."""
    found = Server(0)
    tasks: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer, len(found.peers))
        found.peers.append(peer)
        found.num_open += 1
        found.most_open = max(found.most_open, found.num_open)
        try:
            await script(peer)
        except asyncio.CancelledError:
            # The server ends, and waits for no client to read.
            writer.transport.abort()
        except (EOFError, ConnectionError):
            pass
        except Exception as error:
            failures.append(error)
        finally:
            found.num_open -= 1
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(
        handle, "127.0.0.1", port, ssl=tls, limit=1 << 27, backlog=1000
    )
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        ending = list(tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        async with asyncio.timeout(20.0):
            for peer in found.peers:
                with contextlib.suppress(OSError):
                    await peer.writer.wait_closed()
        assert not failures


def end_at_once(peer: Peer) -> None:
    """Have the kernel end a connection, without a turn of the event loop."""
    made = peer.writer.get_extra_info("socket")
    with socket.socket(fileno=socket.dup(made.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
