"""A ZMTP peer made of plain streams, to say what no honest peer would."""

import asyncio
from types import TracebackType
from typing import Self

GREETING = (b"\xff" + bytes(8) + b"\x7f\x03\x01NULL").ljust(64, b"\0")


def frame(body: bytes, flags: int = 0) -> bytes:
    """Encode one frame."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | 2,)) + len(body).to_bytes(8, "big") + body


def command(name: bytes, data: bytes = b"") -> bytes:
    """Encode one command frame."""
    return frame(bytes((len(name),)) + name + data, flags=4)


def ready(kind: bytes, routing_id: bytes | None = None) -> bytes:
    """Encode a READY command."""
    data = b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    if routing_id is not None:
        data += b"\x08Identity" + len(routing_id).to_bytes(4, "big") + routing_id
    return command(b"READY", data)


def subscribe(topic: bytes) -> bytes:
    """Encode a SUBSCRIBE command."""
    return command(b"SUBSCRIBE", topic)


def cancel(topic: bytes) -> bytes:
    """Encode a CANCEL command."""
    return command(b"CANCEL", topic)


class RawPeer:
    """One end of a connection that says exactly what it is told to."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, endpoint: str) -> Self:
        """Connect to an endpoint, and say nothing."""
        if endpoint.startswith("ipc://"):
            path = endpoint.removeprefix("ipc://")
            return cls(*await asyncio.open_unix_connection(path))
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    @classmethod
    async def introduced(
        cls,
        endpoint: str,
        kind: bytes,
        routing_id: bytes | None = None,
        minor: int = 1,
    ) -> Self:
        """Connect to an endpoint and complete the handshake."""
        peer = await cls.connect(endpoint)
        await peer.introduce(kind, routing_id, minor)
        return peer

    async def introduce(
        self, kind: bytes, routing_id: bytes | None = None, minor: int = 1
    ) -> None:
        """Complete the handshake, as a peer of ZMTP 3 and this minor version."""
        greeting = GREETING[:11] + bytes((minor,)) + GREETING[12:]
        await self.send(greeting + ready(kind, routing_id))
        assert (await self._reader.readexactly(64))[:10] == GREETING[:10]
        flags, body = await self.receive()
        assert flags == 4
        assert body.startswith(b"\x05READY")

    async def send(self, data: bytes) -> None:
        """Send bytes; a peer that has closed already is none of our concern."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return

    async def receive(self) -> tuple[int, bytes]:
        """Return the flags and the body of the next frame."""
        flags = (await self._reader.readexactly(1))[0]
        header = await self._reader.readexactly(8 if flags & 2 else 1)
        body = await self._reader.readexactly(int.from_bytes(header, "big"))
        return flags & ~2, body

    async def skip(self, nbytes: int) -> None:
        """Read so many bytes, and forget them."""
        await self._reader.readexactly(nbytes)

    async def until_closed(self) -> bytes:
        """Read until the other side closes; return what came."""
        received = b""
        try:
            while data := await self._reader.read(65536):
                received += data
        except ConnectionError:
            pass
        return received

    async def close(self) -> None:
        """Close at once."""
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()
