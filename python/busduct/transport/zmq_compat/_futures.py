"""Futures that a socket fulfils: waiting in an event loop rather than in a thread."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from busduct.transport.zmq_compat.constants import PollEvent
from busduct.transport.zmq_compat.error import Again

if TYPE_CHECKING:
    from busduct.transport.zmq_compat._shared_socket import SharedSocket

__all__ = ["LoopWaiter", "Operation"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)


class Operation(asyncio.Future[Any]):
    """A future of one call.

    A message that was received for a task which was cancelled at that moment goes back
    to the socket, for the next call to receive.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        attempt: Callable[[], Any],
        convert: Callable[[Any], Any] | None = None,
        put_back: Callable[[Any], None] | None = None,
        at_timeout: Any = None,
    ) -> None:
        """Prepare a call.

        Args:
            loop: Where it is awaited.
            attempt: Does it, or returns None if it has to wait.
            convert: Makes the result of what `attempt` returned.
            put_back: Takes that back if nobody gets the result.
            at_timeout: The result when time is over; None to fail with `Again`.
        """
        super().__init__(loop=loop)
        self._attempt = attempt
        self._convert = convert
        self._put_back = put_back
        self._at_timeout = at_timeout
        self._got: Any = None
        self.timer: asyncio.TimerHandle | None = None

    def try_now(self) -> bool:
        """Attempt it; return whether it is over. Called under the context's lock."""
        try:
            got = self._attempt()
            if got is None:
                return False
            self._got = got
            self.set_result(self._convert(got) if self._convert else got)
        except Exception as error:
            self.set_exception(error)
        return True

    def expire(self) -> None:
        """End it: time is over."""
        if self.done():
            return
        if self._at_timeout is None:
            self.set_exception(Again())
        else:
            self.set_result(self._at_timeout)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from super().__await__())
        except asyncio.CancelledError:
            if self._got is not None and self._put_back is not None:
                self._put_back(self._got)
                self._got = None
            raise

    __iter__ = __await__


class LoopWaiter:
    """The calls of one socket that wait in one event loop, in order.

    While there are any, the loop watches the context's descriptor for them.
    """

    def __init__(self, socket: "SharedSocket", loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket
        self._shared = socket.shared
        self.loop = loop
        self._receiving: deque[Operation] = deque()
        self._sending: deque[Operation] = deque()
        self._polling: list[tuple[int, Operation]] = []
        self._fd = -1
        self._is_awake = False

    def submit(
        self, operation: Operation, events: int, timeout: float | None, *, poll: bool
    ) -> Operation:
        """Do a call at once if none like it waits, else let it wait its turn.

        Args:
            operation: The call.
            events: What it waits for.
            timeout: Seconds until it fails with `Again`; None for no bound.
            poll: It takes nothing, so others need not come before it.
        """
        with self._shared:
            self._shared.spare(self)
            queue = self._receiving if events & POLLIN else self._sending
            if (poll or not any(not each.done() for each in queue)) and (
                operation.try_now()
            ):
                return operation
            if timeout == 0:
                operation.expire()
                return operation
            if poll:
                self._polling.append((events, operation))
            else:
                queue.append(operation)
            if timeout is not None:
                operation.timer = self.loop.call_later(timeout, operation.expire)
            operation.add_done_callback(self._on_done)
            self._start()
        return operation

    def is_ready(self) -> bool:
        """Tell whether one of the calls may succeed."""
        return bool(self._socket.events() & self._wanted())

    def wake(self) -> None:
        """Have the loop try the calls again; called from any thread."""
        if not self._is_awake and not self.loop.is_closed():
            self._is_awake = True
            self.loop.call_soon_threadsafe(self._turn)

    def end(self) -> None:
        """Cancel every call that waits; called from any thread. Idempotent."""
        if self.loop.is_running() and asyncio._get_running_loop() is not self.loop:
            self.loop.call_soon_threadsafe(self.end)
            return
        if not self.loop.is_closed():
            polling = [operation for _, operation in self._polling]
            for operation in [*self._receiving, *self._sending, *polling]:
                operation.cancel()
        if not self._shared.is_foreign:
            with self._shared:
                self._stop()

    def _wanted(self) -> int:
        wanted = POLLIN * bool(self._receiving) | POLLOUT * bool(self._sending)
        for events, _ in self._polling:
            wanted |= events
        return wanted

    def _turn(self) -> None:
        self._is_awake = False
        if self._fd < 0:
            return
        with self._shared:
            self._shared.spare(self)
            self._shared.process()
            for queue in (self._receiving, self._sending):
                _advance(queue)
            for _, operation in self._polling:
                if not operation.done():
                    operation.try_now()
            self._stop_if_idle()

    def _on_done(self, operation: Operation) -> None:
        if operation.timer is not None:
            operation.timer.cancel()
        if self._shared.is_foreign:
            return
        with self._shared:
            self._shared.spare(self)
            self._stop_if_idle()

    def _start(self) -> None:
        if self._fd < 0:
            # A loop watches a descriptor for one reader only.
            self._fd = os.dup(self._shared.core.fileno())
            self.loop.add_reader(self._fd, self._turn)
            self._shared.watch(self)

    def _stop_if_idle(self) -> None:
        self._polling = [each for each in self._polling if not each[1].done()]
        for queue in (self._receiving, self._sending):
            live = [operation for operation in queue if not operation.done()]
            queue.clear()
            queue.extend(live)
        if self._wanted() == 0:
            self._stop()

    def _stop(self) -> None:
        if self._fd >= 0:
            self._shared.forget(self)
            if not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def _advance(queue: deque[Operation]) -> None:
    while queue and (queue[0].done() or queue[0].try_now()):
        queue.popleft()
