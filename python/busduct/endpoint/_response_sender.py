"""Send responses to the pool in order; hold what finds no room, and stop the rest."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from busduct.errors import FullError
from busduct.messages import QueryResult, StreamChunk

if TYPE_CHECKING:
    from busduct.transport import SenderTransport

__all__ = ["Response", "ResponseSender"]

Response: TypeAlias = QueryResult | StreamChunk

# For a transport without `asend`, which cannot say when it has room.
RETRY_SECONDS = 0.005


class ResponseSender:
    """Send without ever waiting or losing.

    What is held is bounded by whoever obeys `pause`: what was read by then.

    Args:
        pause: Called when there is no room.
        resume: Called when all that was held is sent.
        note_unsendable: Told of a response that cannot be sent, ever, and why.
    """

    def __init__(
        self,
        pause: Callable[[], object],
        resume: Callable[[], object],
        note_unsendable: Callable[[Response, Exception], object],
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._note_unsendable = note_unsendable
        self._held: deque[Response] = deque()
        self._flushing: asyncio.Task[None] | None = None

    def open(self, sender: "SenderTransport[Response]") -> None:
        """Learn where to. Before the first is sent."""
        self._sender = sender

    def send(self, item: Response) -> None:
        """Send, or hold, one more."""
        if self._held:
            self._held.append(item)
            return
        try:
            self._sender.send(item)
        except FullError:
            self._held.append(item)
            self._pause()
            self._flushing = asyncio.get_running_loop().create_task(
                self._flush(), name="worker responses"
            )
        except Exception as error:
            self._note_unsendable(item, error)

    def close(self) -> None:
        """Give up what is held. Idempotent."""
        if self._flushing is not None:
            self._flushing.cancel()

    async def _flush(self) -> None:
        while self._held:
            try:
                await self._send_when_room(self._held[0])
            except Exception as error:
                self._note_unsendable(self._held[0], error)
            self._held.popleft()
        self._resume()

    async def _send_when_room(self, item: Response) -> None:
        send_waiting = getattr(self._sender, "asend", None)
        if send_waiting is not None:
            await send_waiting(item)
            return
        while True:
            try:
                self._sender.send(item)
            except FullError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
