"""Replies on their way: a client that does not read holds up nobody else."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct.errors import (
    BusductError,
    ClosedError,
    FrameTooLargeError,
    FullError,
    PeerLostError,
)
from busduct.transport.rpc._wire import ErrorBody, Kind, Reply, encode, pack_header

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Replies"]


class _Overflow:
    """What a client's queue in the socket had no room for."""

    def __init__(self) -> None:
        self.replies: deque[tuple[int, bytes]] = deque()
        self.task: asyncio.Task[None] | None = None


class Replies:
    """Send replies at once where there is room, in order per client where not.

    Args:
        socket: The ROUTER.
        max_refusals: Errors kept for one client that does not read; more are dropped,
            and counted. Results are never dropped: no call of that client is started
            while one of them waits.
        on_full: Told of a client whose replies have to wait.
        on_room: Told when they do no longer.
        on_lost: Told of a client that is gone.

    Attributes:
        num_sent: Replies that the socket accepted.
        num_dropped: Replies for clients that are gone, or do not read.
    """

    def __init__(
        self,
        socket: "Socket",
        max_refusals: int,
        *,
        on_full: Callable[[bytes], None],
        on_room: Callable[[bytes], None],
        on_lost: Callable[[bytes], None],
    ) -> None:
        self._socket = socket
        self._max_refusals = max_refusals
        self._on_full = on_full
        self._on_room = on_room
        self._on_lost = on_lost
        self._overflows: dict[bytes, _Overflow] = {}
        self.num_sent = 0
        self.num_dropped = 0

    def is_full(self, client: bytes) -> bool:
        """Whether a reply to this client would have to wait."""
        return client in self._overflows

    def refuse(self, client: bytes, request_id: int, error: ErrorBody) -> None:
        """Send an error for a call that was not run."""
        overflow = self._overflows.get(client)
        if overflow and len(overflow.replies) >= self._max_refusals:
            self.num_dropped += 1
            return
        self.send(client, request_id, encode(Reply(error=error)))

    def send(self, client: bytes, request_id: int, body: bytes) -> None:
        """Send a reply, or keep it until there is room."""
        overflow = self._overflows.get(client)
        if overflow is not None:
            overflow.replies.append((request_id, body))
            return
        try:
            self._socket.send_multipart_nowait(_frames(client, request_id, body))
            self.num_sent += 1
        except FullError:
            self._overflow(client, request_id, body)
        except FrameTooLargeError as error:
            self.send(client, request_id, _too_large(error))
        except PeerLostError:
            self.num_dropped += 1
            self._on_lost(client)
        except ClosedError:
            self.num_dropped += 1

    def forget(self, client: bytes) -> None:
        """Drop what waits for a client that is gone."""
        overflow = self._overflows.pop(client, None)
        if overflow is not None:
            self.num_dropped += len(overflow.replies)
            overflow.replies.clear()
            if overflow.task is not None:
                overflow.task.cancel()

    async def aclose(self) -> None:
        """Drop what waits."""
        tasks = [o.task for o in self._overflows.values() if o.task is not None]
        for client in list(self._overflows):
            self.forget(client)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _overflow(self, client: bytes, request_id: int, body: bytes) -> None:
        overflow = self._overflows[client] = _Overflow()
        overflow.replies.append((request_id, body))
        self._on_full(client)
        name = f"busduct rpc replies to {client.hex()}"
        overflow.task = asyncio.create_task(self._drain(client, overflow), name=name)

    async def _drain(self, client: bytes, overflow: _Overflow) -> None:
        try:
            while overflow.replies:
                request_id, body = overflow.replies[0]
                await self._send_when_possible(client, request_id, body)
                overflow.replies.popleft()
        except BusductError:
            # Gone, or closed here.
            self.forget(client)
            self._on_lost(client)
            return
        self._overflows.pop(client, None)
        self._on_room(client)

    async def _send_when_possible(
        self, client: bytes, request_id: int, body: bytes
    ) -> None:
        try:
            await self._socket.send_multipart(_frames(client, request_id, body))
        except FrameTooLargeError as error:
            body = _too_large(error)
            await self._socket.send_multipart(_frames(client, request_id, body))
        self.num_sent += 1


def _frames(client: bytes, request_id: int, body: bytes) -> list[bytes]:
    return [client, pack_header(Kind.REPLY, request_id), body]


def _too_large(error: FrameTooLargeError) -> bytes:
    return encode(Reply(error=ErrorBody("ResultTooLargeError", str(error))))
