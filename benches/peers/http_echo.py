"""The server of the bench of HTTP clients: a reply that is made beforehand, no more.

It does as little for a request as a server can, so that the client is what is measured.
"""

import argparse
import asyncio
import json

import httptools
import uvloop

EVENT = "data: " + json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "token "}}],
    }
)
LAST_EVENT = "data: [DONE]"


def reply(num_events: int) -> bytes:
    """Return a whole response: one JSON object, or so many events and ``[DONE]``."""
    if num_events:
        events = [f"{EVENT}\n\n".encode()] * num_events + [f"{LAST_EVENT}\n\n".encode()]
        body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in [*events, b""])
        kind = "text/event-stream"
        framing = "Transfer-Encoding: chunked"
    else:
        body = json.dumps({"id": "1", "text": "x" * 1000}).encode()
        kind = "application/json"
        framing = f"Content-Length: {len(body)}"
    head = (
        f"HTTP/1.1 200 OK\r\nserver: echo\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
    )
    return head.encode() + body


class Echo(asyncio.Protocol):
    """Answer each request with the same bytes."""

    def __init__(self, whole_reply: bytes) -> None:
        self._reply = whole_reply
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self._reply)  # type: ignore[attr-defined]


async def serve(port: int, num_events: int) -> None:
    whole_reply = reply(num_events)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(whole_reply), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve"])
    parser.add_argument("port", type=int)
    parser.add_argument("num_events", type=int)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.num_events))


if __name__ == "__main__":
    main()
