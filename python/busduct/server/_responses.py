"""Replies that end the request when the client leaves."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from busduct.errors import BusductError
from busduct.server._errors import error_body

__all__ = ["DeferredReply", "EventStream"]

logger = logging.getLogger("busduct.server")

EVENT_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # A proxy that collects a reply before passing it on would undo the streaming.
    (b"x-accel-buffering", b"no"),
]


class DeferredReply(Response):
    """A JSON reply whose body is made while the client is watched."""

    def __init__(self, body: Coroutine[Any, Any, bytes]) -> None:
        super().__init__()
        self._making = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the body and send it; what making it raises goes to the caller."""
        body = await _unless_gone(receive, self._making)
        if body is not None:
            reply = Response(body, media_type="application/json")
            await reply(scope, receive, send)


class EventStream(Response):
    """A reply of server-sent events.

    Up to the first event an error becomes an ordinary error reply; after it, an error
    event that ends the stream.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; what the first one raises goes to the caller."""
        await _unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            first = await anext(events)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": EVENT_STREAM_HEADERS,
                }
            )
            await send(_chunk(first))
            try:
                async for event in events:
                    await send(_chunk(event))
            except Exception as error:
                _log(error)
                await send(_chunk(b"data: %b\n\n" % error_body(error)))
        await send({"type": "http.response.body", "body": b""})


def _chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _log(error: Exception) -> None:
    if isinstance(error, BusductError):
        logger.warning("stream ended with an error: %s", error)
    else:
        logger.error("stream ended with an error", exc_info=error)


async def _unless_gone(
    receive: Receive, work: Coroutine[Any, Any, bytes | None]
) -> bytes | None:
    """Return what `work` gives, or None if the client left and `work` was cancelled."""
    working = asyncio.create_task(work, name="busduct-reply")
    watching = asyncio.create_task(_wait_until_gone(receive), name="busduct-watch")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
