"""Threads that wait for sockets and descriptors."""

import os
import select
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from busduct.transport.zmq_compat.constants import PollEvent

if TYPE_CHECKING:
    from busduct.transport.zmq_compat._shared import SharedContext
    from busduct.transport.zmq_compat._shared_socket import SharedSocket

__all__ = ["Deadline", "ThreadWaiter"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
POLLERR = int(PollEvent.POLLERR)
_MAX_POLL_MILLISECONDS = 3_600_000


class Deadline:
    """How long a call may still take."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return seconds, at least 0; None for no bound."""
        return None if self._at is None else max(self._at - time.monotonic(), 0.0)


class ThreadWaiter:
    """A thread that waits for any of some sockets and descriptors.

    Used as a context manager. Holds a pipe meanwhile, by which others end its sleep.
    """

    def __init__(
        self,
        wanted: Iterable[tuple["SharedSocket", int]],
        descriptors: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Prepare to wait.

        Args:
            wanted: Sockets, and the events to wait for.
            descriptors: Others, and the events to wait for.
        """
        self._wanted = tuple(wanted)
        self._shared = {socket.shared for socket, _ in self._wanted}
        self._descriptors = tuple(descriptors)
        self._poll = select.poll()
        self._is_awake = False
        self._cleanup = ExitStack()

    def __enter__(self) -> "ThreadWaiter":
        with ExitStack() as cleanup:
            self._ear, self._mouth = os.pipe()
            cleanup.callback(os.close, self._ear)
            cleanup.callback(os.close, self._mouth)
            os.set_blocking(self._mouth, False)
            self._poll.register(self._ear, select.POLLIN)
            for fd, events in self._descriptors:
                self._poll.register(fd, _mask(events))
            for shared in self._shared:
                self._poll.register(shared.fileno(), select.POLLIN)
                cleanup.callback(self._forget, shared)
                with shared:
                    shared.watch(self)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._cleanup.close()

    def _forget(self, shared: "SharedContext") -> None:
        with shared:
            shared.forget(self)

    def is_ready(self) -> bool:
        """Tell whether one of the sockets has an event that is waited for."""
        return any(socket.events() & events for socket, events in self._wanted)

    def wake(self) -> None:
        """End the sleep that is going on, or the next one."""
        if not self._is_awake:
            self._is_awake = True
            with suppress(BlockingIOError):
                os.write(self._mouth, b"\0")

    def sleep(self, seconds: float | None) -> list[tuple[int, int]]:
        """Sleep until something happened that may end the waiting.

        Args:
            seconds: At most; None for no bound.

        Returns:
            The descriptors that are ready, and their events.
        """
        bound = _MAX_POLL_MILLISECONDS
        if seconds is not None:
            # Rounded up: a rest below a millisecond must not become a busy loop.
            bound = min(bound, int(seconds * 1000) + (seconds * 1000 % 1 > 0))
        ready = dict(self._poll.poll(bound))
        if ready.pop(self._ear, 0):
            os.read(self._ear, 64)
            self._is_awake = False
        for shared in self._shared:
            with shared:
                shared.spare(self)
                shared.process()
        return [
            (fd, events)
            for fd, wanted in self._descriptors
            if (events := _events(ready.get(fd, 0), wanted))
        ]


def _mask(events: int) -> int:
    mask = 0
    if events & POLLIN:
        mask |= select.POLLIN
    if events & POLLOUT:
        mask |= select.POLLOUT
    return mask


def _events(mask: int, wanted: int) -> int:
    events = 0
    if mask & (select.POLLIN | select.POLLHUP):
        events |= POLLIN
    if mask & select.POLLOUT:
        events |= POLLOUT
    if mask & (select.POLLERR | select.POLLNVAL):
        events |= POLLERR
    return events & (wanted | POLLERR)
