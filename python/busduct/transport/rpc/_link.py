"""The connection of a client to its server: watched, and opened again when lost."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import BusductError, ClosedError, FullError, PeerLostError
from busduct.transport._zmq import SocketOptions
from busduct.transport.rpc._wire import Kind, pack_header

if TYPE_CHECKING:
    from busduct._core import Context, Monitor, Socket

__all__ = ["Link"]

# So many messages are taken without giving way to other tasks.
_BATCH = 64


class Link:
    """One DEALER per connection.

    A DEALER that outlived its connection would hand what is unsent to the next server,
    long after the calls it is about have ended.

    Args:
        context: Owns the sockets.
        endpoint: Of the server.
        insecure: As of `Socket.connect`.
        options: Of the sockets.
        on_message: Told of each message.
        on_lost: Told when a connection ended, after its last message.

    Raises:
        ConfigError: Not an endpoint, or an option out of its range.
        ClosedError: The context is closed.

    Attributes:
        endpoint: Of the server.
        num_cancels: Cancellations that were sent.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        *,
        insecure: bool,
        options: SocketOptions,
        on_message: Callable[[list[bytes]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self.num_cancels = 0
        self._context = context
        self._insecure = insecure
        self._options = options
        self._on_message = on_message
        self._on_lost = on_lost
        self._up = asyncio.Event()
        self._unsent_cancels: deque[int] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._socket, self._monitor = self._open()

    @property
    def num_unsent_cancels(self) -> int:
        """Cancellations that wait for room."""
        return len(self._unsent_cancels)

    @property
    def is_closed(self) -> bool:
        """Whether there is no socket, nor will be."""
        return self._socket.closed

    async def run(self) -> None:
        """Keep connected until cancelled, or the context is closed."""
        with suppress(ClosedError):
            while True:
                await self._serve()
                # The core's own back-off begins anew with each socket.
                await asyncio.sleep(self._options.get("reconnect_interval", 0.1))
                self._socket, self._monitor = self._open()

    async def wait_up(self, timeout: float | None) -> None:
        """Wait until there is a connection.

        Raises:
            PeerLostError: None in time.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self._up.is_set():
                    await self._up.wait()
        except TimeoutError:
            raise PeerLostError(self.endpoint) from None

    async def send(self, frames: list[bytes]) -> None:
        """Send over the connection that there is, waiting for room.

        Raises:
            PeerLostError: It ended before.
        """
        try:
            await self._socket.send_multipart(frames)
        except ClosedError:
            raise PeerLostError(self.endpoint) from None

    def cancel(self, request_id: int) -> None:
        """Tell the server that nobody waits for a call; it finds out itself if lost."""
        if not self._up.is_set():
            return
        if not self._unsent_cancels:
            try:
                self._socket.send_multipart_nowait(_cancel_frames(request_id))
            except FullError:
                self._flushing = asyncio.create_task(
                    self._flush_cancels(self._socket), name="busduct rpc cancels"
                )
            except BusductError:
                return
            else:
                self.num_cancels += 1
                return
        self._unsent_cancels.append(request_id)

    def close(self) -> None:
        """Close the socket, if `run` did not."""
        self._up.clear()
        self._unsent_cancels.clear()
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._socket.close(linger=0)

    def _open(self) -> "tuple[Socket, Monitor]":
        socket = self._context.socket(load_backend().DEALER, **self._options)
        try:
            monitor = socket.monitor()
            socket.connect(self.endpoint, insecure=self._insecure)
        except BaseException:
            socket.close()
            raise
        return socket, monitor

    async def _serve(self) -> None:
        """Take part in one connection, from before it is up until it is lost."""
        receiving = asyncio.create_task(
            self._receive(self._socket), name="busduct rpc client"
        )
        try:
            async for event in self._monitor:
                if event.kind == "connected":
                    self._up.set()
                elif event.kind == "disconnected":
                    break
        finally:
            receiving.cancel()
            await asyncio.wait({receiving})
            self._take_the_rest()
            self.close()
            self._on_lost()

    async def _receive(self, socket: "Socket") -> None:
        with suppress(ClosedError):
            while True:
                for _ in range(_BATCH):
                    self._on_message(await socket.recv_multipart())
                await asyncio.sleep(0)

    def _take_the_rest(self) -> None:
        with suppress(ClosedError):
            while (frames := self._socket.recv_multipart_nowait()) is not None:
                self._on_message(frames)

    async def _flush_cancels(self, socket: "Socket") -> None:
        with suppress(ClosedError):
            while self._unsent_cancels:
                request_id = self._unsent_cancels[0]
                await socket.send_multipart(_cancel_frames(request_id))
                self._unsent_cancels.popleft()
                self.num_cancels += 1


def _cancel_frames(request_id: int) -> list[bytes]:
    return [pack_header(Kind.CANCEL, request_id)]
