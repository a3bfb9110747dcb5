"""Forward messages between two sockets, both ways, losing none."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import FrameTooLargeError, LocalProtocolError, PeerLostError

if TYPE_CHECKING:
    from busduct._core import Socket
    from busduct.transport._poller import HasFileno

__all__ = ["Proxy", "ProxyStatistics", "proxy", "proxy_blocking"]

_log = logging.getLogger("busduct.proxy")

# So many messages are forwarded without giving way to other tasks.
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatistics:
    """What a proxy has forwarded.

    Attributes:
        num_messages_to_backend: Accepted by the backend.
        num_bytes_to_backend: Payload bytes of those, routing ids included.
        num_messages_to_frontend: Accepted by the frontend.
        num_bytes_to_frontend: Payload bytes of those, routing ids included.
        num_undeliverable: Messages to a peer that is gone, or over the limits of the
            socket that should have sent them.
    """

    num_messages_to_backend: int
    num_bytes_to_backend: int
    num_messages_to_frontend: int
    num_bytes_to_frontend: int
    num_undeliverable: int


class _Pump:
    """One direction; it holds one message at most.

    The message in hand outlives a cancellation, and goes first when it runs again.
    """

    def __init__(
        self, source: "Socket", destination: "Socket", capture: "Socket | None"
    ) -> None:
        self._source = source
        self._destination = destination
        self._capture = capture
        self._is_forwarded = False
        self.message: list[bytes] | None = None
        self.num_messages = 0
        self.num_bytes = 0
        self.num_undeliverable = 0

    async def run(self) -> None:
        """Forward until cancelled, or a socket is closed."""
        while True:
            for _ in range(_BATCH):
                if self.message is None:
                    self.message = await self._source.recv_multipart()
                await self.finish()
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Forward the message in hand, if there is one."""
        if self.message is None:
            return
        if not self._is_forwarded:
            await self._forward(self.message)
            self._is_forwarded = True
        if self._capture is not None:
            await self._capture.send_multipart(self.message)
        self.message = None
        self._is_forwarded = False

    def take(self) -> list[list[bytes]]:
        """Take the message in hand away, unless it only waits to be captured."""
        message, is_forwarded = self.message, self._is_forwarded
        self.message, self._is_forwarded = None, False
        return [] if message is None or is_forwarded else [message]

    async def _forward(self, message: list[bytes]) -> None:
        try:
            await self._destination.send_multipart(message)
        except (PeerLostError, FrameTooLargeError):
            self.num_undeliverable += 1
        else:
            self.num_messages += 1
            self.num_bytes += sum(map(len, message))


class Proxy:
    """Forwards whole messages between two sockets, both ways.

    It takes a message only when the one before was accepted, so a side that does not
    keep up slows down the other, and nothing is dropped but by a socket's own
    `on_full`: an XPUB or PUB that shall drop nothing needs ``"wait"``. A ROUTER's peer
    that does not read holds up the replies of all others.

    For ROUTER and DEALER, XPUB and XSUB, PULL and PUSH, PAIR, and what else can send
    what the other received; a direction that the sockets do not have is left out.

    Args:
        frontend: Towards clients.
        backend: Towards workers.
        capture: Gets every message, after the other side did, and slows down both when
            it does not keep up.

    Raises:
        LocalProtocolError: Neither can send what the other receives, or both are one.
    """

    def __init__(
        self, frontend: "Socket", backend: "Socket", capture: "Socket | None" = None
    ) -> None:
        if frontend is backend:
            msg = "a proxy needs two sockets"
            raise LocalProtocolError(msg)
        self._to_backend = _Pump(frontend, backend, capture)
        self._to_frontend = _Pump(backend, frontend, capture)
        self._pumps = []
        if _can_receive(frontend) and _can_send(backend):
            self._pumps.append(self._to_backend)
        if _can_receive(backend) and _can_send(frontend):
            self._pumps.append(self._to_frontend)
        if not self._pumps:
            msg = "neither socket can send what the other receives"
            raise LocalProtocolError(msg)

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Forward until told to stop; then wait until what was taken is accepted.

        Cancelling stops at once: a message in hand is forwarded first when it is run
        again, or can be taken by `undelivered`.

        Args:
            stop: Ends it; None to run until cancelled.

        Raises:
            ClosedError: A socket was closed.
        """
        tasks = [
            asyncio.create_task(pump.run(), name="busduct proxy")
            for pump in self._pumps
        ]
        stopping = asyncio.create_task(
            (stop or asyncio.Event()).wait(), name="busduct proxy's stop"
        )
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await _cancel([*tasks, stopping])
        await asyncio.gather(*(pump.finish() for pump in self._pumps))

    def undelivered(self) -> list[list[bytes]]:
        """Take the messages in hand that a cancelled `run` left, one per direction."""
        return [message for pump in self._pumps for message in pump.take()]

    def statistics(self) -> ProxyStatistics:
        """Return the counters."""
        forth, back = self._to_backend, self._to_frontend
        return ProxyStatistics(
            num_messages_to_backend=forth.num_messages,
            num_bytes_to_backend=forth.num_bytes,
            num_messages_to_frontend=back.num_messages,
            num_bytes_to_frontend=back.num_bytes,
            num_undeliverable=forth.num_undeliverable + back.num_undeliverable,
        )


async def proxy(
    frontend: "Socket",
    backend: "Socket",
    capture: "Socket | None" = None,
    *,
    stop: asyncio.Event | None = None,
) -> ProxyStatistics:
    """Forward messages between two sockets until told to stop; as `Proxy`.

    Cancelling may lose one message per direction, and logs that; `Proxy` keeps it.

    Args:
        frontend: Towards clients.
        backend: Towards workers.
        capture: Gets every message.
        stop: Ends it; None to run until cancelled.

    Returns:
        What was forwarded.

    Raises:
        ClosedError: A socket was closed.
        LocalProtocolError: As of `Proxy`.
    """
    running = Proxy(frontend, backend, capture)
    try:
        await running.run(stop)
    finally:
        lost = len(running.undelivered())
        if lost:
            _log.warning("%d messages were taken and could not be forwarded", lost)
    return running.statistics()


def proxy_blocking(
    frontend: "Socket",
    backend: "Socket",
    capture: "Socket | None" = None,
    *,
    stop: "HasFileno | int | None" = None,
) -> ProxyStatistics:
    """Forward messages between two sockets, for code without an asyncio loop.

    Args:
        frontend: Towards clients.
        backend: Towards workers.
        capture: Gets every message.
        stop: Ends it when it is readable; None to run until an exception.

    Returns:
        What was forwarded.

    Raises:
        ClosedError: A socket was closed.
        LocalProtocolError: As of `Proxy`.
        RuntimeError: An asyncio loop runs in this thread.
    """

    async def run() -> ProxyStatistics:
        event = asyncio.Event()
        if stop is None:
            return await proxy(frontend, backend, capture)
        loop = asyncio.get_running_loop()
        loop.add_reader(stop, event.set)
        try:
            return await proxy(frontend, backend, capture, stop=event)
        finally:
            loop.remove_reader(stop)

    # A loop for both directions: blocking in one of them would hold up the other.
    return asyncio.run(run())


def _can_receive(socket: "Socket") -> bool:
    backend = load_backend()
    return socket.kind not in {backend.PUSH, backend.PUB}


def _can_send(socket: "Socket") -> bool:
    backend = load_backend()
    return socket.kind not in {backend.PULL, backend.SUB}


async def _cancel(tasks: "list[asyncio.Task[None] | asyncio.Task[bool]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
