"""Wait for any of many sockets, also of different contexts, and descriptors."""

import asyncio
import math
import selectors
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeGuard

from busduct.errors import ClosedError, ConfigError, LocalProtocolError

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["POLLIN", "POLLOUT", "Pollable", "Poller"]

# Numbered as in libzmq.
POLLIN: Final = 1
POLLOUT: Final = 2

# Of `selectors`, which numbers them alike.
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class HasFileno(Protocol):
    """Something with a descriptor."""

    def fileno(self) -> int:
        """Return it."""
        ...


Pollable: TypeAlias = "Socket | HasFileno | int"


class Poller:
    """Tell which of many sockets and descriptors are ready, level-triggered.

    A socket is ready for `POLLIN` when a receive would give a message or an error at
    once, and for `POLLOUT` when a small message would be accepted or refused at once; a
    closed one is ready for everything. A descriptor is ready when the kernel says so,
    also when it has an error. Polling takes and sends nothing.

    Args:
        *contexts: Whose sockets are polled; `poll` needs them, `poll_async` does not.
    """

    def __init__(self, *contexts: "Context") -> None:
        self._contexts = contexts
        self._sockets: dict[Socket, int] = {}
        self._descriptors: dict[int, tuple[HasFileno | int, int]] = {}

    def __len__(self) -> int:
        return len(self._sockets) + len(self._descriptors)

    def register(self, target: Pollable, events: int = POLLIN) -> None:
        """Poll a socket or descriptor, or poll it for other events than before.

        Args:
            target: A socket, a descriptor, or what has one. It stays open while it is
                registered.
            events: `POLLIN`, `POLLOUT` or both.

        Raises:
            ConfigError: Neither of the two.
        """
        if events not in {POLLIN, POLLOUT, POLLIN | POLLOUT}:
            msg = f"events is {events!r}; it is POLLIN, POLLOUT or both"
            raise ConfigError(msg)
        if _is_socket(target):
            self._sockets[target] = events
        else:
            self._descriptors[_fileno(target)] = target, events

    def unregister(self, target: Pollable) -> None:
        """Poll it no more.

        Raises:
            LocalProtocolError: It is not registered.
        """
        if _is_socket(target):
            found: object = self._sockets.pop(target, None)
        else:
            found = self._descriptors.pop(_fileno(target), None)
        if found is None:
            msg = f"{target!r} is not registered"
            raise LocalProtocolError(msg)

    def poll(self, timeout: float | None = None) -> list[tuple[Pollable, int]]:
        """Block until something is ready, for code without an asyncio loop.

        Args:
            timeout: Seconds to wait at most; None for no bound.

        Returns:
            What is ready, and for which events: sockets in the order in which they were
            registered, then descriptors. Empty if nothing is in time.

        Raises:
            ConfigError: A socket's context was not given to the poller.
            LocalProtocolError: Nothing is registered, or a context is in use by another
                thread or loop.
        """
        self._check()
        contexts = self._contexts_in_use()
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with self._selector() as selector:
            for context in contexts:
                selector.register(context.fileno(), _READ, None)
            while True:
                for context in contexts:
                    context.run_once(0.0)
                ready = self._ready(selector)
                left = deadline - time.monotonic()
                if ready or left <= 0:
                    return ready
                selector.select(None if left == math.inf else left)

    async def poll_async(
        self, timeout: float | None = None
    ) -> list[tuple[Pollable, int]]:
        """Wait until something is ready; as `poll`. Cancelling changes nothing.

        Raises:
            LocalProtocolError: Nothing is registered.
        """
        self._check()
        with self._selector() as selector:
            ready = self._ready(selector)
            if ready:
                return ready
            try:
                async with asyncio.timeout(timeout):
                    while not ready:
                        await self._wait_any(selector)
                        ready = self._ready(selector)
            except TimeoutError:
                return self._ready(selector)
        return ready

    def _check(self) -> None:
        if not len(self):
            msg = "nothing is registered to be polled"
            raise LocalProtocolError(msg)

    @contextmanager
    def _selector(self) -> "Iterator[selectors.BaseSelector]":
        with selectors.DefaultSelector() as selector:
            for fd, (target, events) in self._descriptors.items():
                selector.register(fd, events, target)
            yield selector

    def _contexts_in_use(self) -> "list[Context]":
        given = {c.fileno(): c for c in self._contexts if not c.closed}
        used: dict[int, Context] = {}
        for socket in self._sockets:
            if socket.closed:
                continue
            fd = socket.fileno()
            if fd not in given:
                msg = "a socket's context was not given to the poller"
                raise ConfigError(msg)
            used[fd] = given[fd]
        return list(used.values())

    def _ready(self, selector: selectors.BaseSelector) -> list[tuple[Pollable, int]]:
        ready: list[tuple[Pollable, int]] = []
        for socket, wanted in self._sockets.items():
            events = _events_of(socket, wanted)
            if events:
                ready.append((socket, events))
        if self._descriptors:
            # Those without data are the contexts'.
            ready += [(k.data, e) for k, e in selector.select(0) if k.data is not None]
        return ready

    async def _wait_any(self, selector: selectors.BaseSelector) -> None:
        waits: list[Awaitable[None]] = []
        for socket, events in self._sockets.items():
            if events & POLLIN:
                waits.append(socket.wait_readable())
            if events & POLLOUT:
                waits.append(socket.wait_writable())
        if self._descriptors:
            waits.append(_wait_descriptors(selector))
        tasks = [asyncio.create_task(_ignoring_end(w), name="poll") for w in waits]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _is_socket(target: Pollable) -> "TypeGuard[Socket]":
    return hasattr(target, "wait_readable")


def _fileno(target: "HasFileno | int") -> int:
    return target if isinstance(target, int) else target.fileno()


def _events_of(socket: "Socket", wanted: int) -> int:
    events = POLLIN if wanted & POLLIN and socket.readable else 0
    return events | (POLLOUT if wanted & POLLOUT and socket.writable else 0)


async def _wait_descriptors(selector: selectors.BaseSelector) -> None:
    # The selector has a descriptor of its own, so that whatever else watches the
    # descriptors in this loop is left alone.
    fd = selector.fileno()  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()
    is_ready = asyncio.Event()
    loop.add_reader(fd, is_ready.set)
    try:
        await is_ready.wait()
    finally:
        loop.remove_reader(fd)


async def _ignoring_end(wait: Awaitable[None]) -> None:
    try:
        await wait
    except ClosedError:
        # A closed socket is ready.
        return
