"""A plain HTTP/1.1 client, which shows how the bytes came."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
GENERATE = "/generate"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The events' data; the closing one must be there, and is left out."""
        found = self.body.decode().split("\n\n")
        assert found[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in found[:-2]]


def request(
    path: str, body: object = None, *, method: str = "POST", headers: str = ""
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: here\r\n{headers}"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    chunks = []
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            chunks.append(await reader.readexactly(size))
            assert await reader.readline() == b"\r\n"
        assert await reader.readline() == b"\r\n"
    else:
        chunks = [await reader.readexactly(int(headers["content-length"]))]
    return Answer(int(head[0].split()[1]), headers, chunks)


@asynccontextmanager
async def connected(
    port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname=name
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        # The server may be first.
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait, a turn of the loop at a time, until the condition holds."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def ask(port: int, path: str, body: object = None, **options: Any) -> Answer:
    async with connected(port) as (reader, writer):
        writer.write(request(path, body, **options))
        return await read_answer(reader)
