"""The poller that is awaited."""

import asyncio
import os
from typing import Any

from busduct.transport.zmq_compat import poller as _poller
from busduct.transport.zmq_compat._base import BaseSocket
from busduct.transport.zmq_compat._futures import LoopWaiter, Operation
from busduct.transport.zmq_compat.constants import PollEvent

__all__ = ["Poller", "poll_operation"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
Future = asyncio.Future


class Poller(_poller.Poller):
    """A poller whose `poll` returns a future."""

    def poll(self, timeout: float | None = None) -> Future[Any]:
        """Wait for the first events; see the blocking poller."""
        return asyncio.ensure_future(self._poll(timeout))

    async def _poll(self, timeout: float | None) -> list[tuple[Any, int]]:
        loop = asyncio.get_running_loop()
        watched = _poller.Watched(self.sockets)
        bound = None if timeout is None or timeout < 0 else timeout / 1000
        waiters = [
            (LoopWaiter(socket.underlying, loop), socket, events)
            for socket, events in watched.sockets
        ]
        readiness = [Descriptor(loop, *each) for each in watched.descriptors]
        waiting: list[Future[Any]] = [
            waiter.submit(poll_operation(socket, events), events, None, poll=True)
            for waiter, socket, events in waiters
        ]
        try:
            waiting += [each.future for each in readiness]
            if waiting:
                await asyncio.wait(
                    waiting, timeout=bound, return_when=asyncio.FIRST_COMPLETED
                )
            elif bound is not None:
                await asyncio.sleep(bound)
            descriptors = [(each.fd, each.events) for each in readiness if each.events]
            return [*watched.ready(), *descriptors]
        finally:
            for waiter, _, _ in waiters:
                waiter.end()
            for each in readiness:
                each.close()


class Descriptor:
    """A descriptor that a loop watches for a poller."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, wanted: int) -> None:
        self.fd = fd
        self.events = 0
        self.future: Future[Any] = loop.create_future()
        self._loop = loop
        # The program may watch the descriptor itself, and a loop has one reader each.
        self._own = os.dup(fd)
        if wanted & POLLIN:
            loop.add_reader(self._own, self._on_event, POLLIN)
        if wanted & POLLOUT:
            loop.add_writer(self._own, self._on_event, POLLOUT)

    def _on_event(self, event: int) -> None:
        self.events |= event
        if not self.future.done():
            self.future.set_result(None)

    def close(self) -> None:
        """Watch no more."""
        self._loop.remove_reader(self._own)
        self._loop.remove_writer(self._own)
        os.close(self._own)
        self.future.cancel()


def poll_operation(socket: BaseSocket, wanted: int) -> Operation:
    """Return a call that is over once a socket has one of the events."""
    shared = socket.underlying

    def attempt() -> int | None:
        shared.check()
        return shared.events() & wanted or None

    return Operation(asyncio.get_running_loop(), attempt, at_timeout=0)
