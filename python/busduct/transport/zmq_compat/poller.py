"""Wait for many sockets and descriptors at once."""

from collections.abc import Iterable
from typing import Any

from busduct.transport.zmq_compat._base import BaseSocket
from busduct.transport.zmq_compat._shared_socket import SharedSocket
from busduct.transport.zmq_compat._waiting import Deadline, ThreadWaiter
from busduct.transport.zmq_compat.constants import PollEvent

__all__ = ["Poller", "Watched", "select", "zmq_poll"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
POLLERR = int(PollEvent.POLLERR)


class Poller:
    """A set of sockets and descriptors, and the events to wait for.

    Attributes:
        sockets: What is registered, with its events.
    """

    def __init__(self) -> None:
        self._events: dict[Any, int] = {}

    @property
    def sockets(self) -> list[tuple[Any, int]]:
        """What is registered, with its events."""
        return list(self._events.items())

    def __contains__(self, socket: object) -> bool:
        return socket in self._events

    def register(self, socket: Any, flags: int = POLLIN | POLLOUT) -> None:
        """Wait for events of a socket, a descriptor, or what has a `fileno`.

        Args:
            socket: Whose events.
            flags: POLLIN, POLLOUT or both; 0 to wait for it no more.
        """
        if flags:
            self._events[socket] = int(flags)
        else:
            self._events.pop(socket, None)

    def modify(self, socket: Any, flags: int = POLLIN | POLLOUT) -> None:
        """Wait for other events."""
        self.register(socket, flags)

    def unregister(self, socket: Any) -> None:
        """Wait for it no more.

        Raises:
            KeyError: It is not registered.
        """
        del self._events[socket]

    def poll(self, timeout: float | None = None) -> Any:
        """Wait for the first events.

        Args:
            timeout: Milliseconds; None, or less than 0, for no bound.

        Returns:
            A list of what is ready, each with its events. Descriptors are numbers.
        """
        return zmq_poll(self.sockets, timeout)


class Watched:
    """What is to be waited for, sorted into sockets and descriptors."""

    def __init__(self, items: Iterable[tuple[Any, int]]) -> None:
        self.sockets: list[tuple[BaseSocket, int]] = []
        self.descriptors: list[tuple[int, int]] = []
        for what, events in items:
            if isinstance(what, BaseSocket):
                self.sockets.append((what, int(events)))
            else:
                fd = what if isinstance(what, int) else what.fileno()
                self.descriptors.append((fd, int(events)))

    def shared(self) -> list[tuple[SharedSocket, int]]:
        """Return the sockets as `ThreadWaiter` takes them."""
        return [(socket.underlying, events) for socket, events in self.sockets]

    def ready(self, *, is_first: bool = False) -> list[tuple[Any, int]]:
        """Return which sockets are ready, and their events.

        Args:
            is_first: Do what their contexts have to do, before.
        """
        found: list[tuple[Any, int]] = []
        for socket, wanted in self.sockets:
            shared = socket.underlying
            with shared.shared:
                shared.check()
                if is_first:
                    shared.shared.process()
                events = shared.events() & wanted
            if events:
                found.append((socket, events))
        return found


def zmq_poll(
    sockets: Iterable[tuple[Any, int]], timeout: float | None = None
) -> list[tuple[Any, int]]:
    """Wait for the first events of some sockets and descriptors; see `Poller.poll`."""
    watched = Watched(sockets)
    bound = None if timeout is None or timeout < 0 else timeout / 1000
    found = watched.ready(is_first=True)
    if found and not watched.descriptors:
        return found
    deadline = Deadline(0.0 if found else bound)
    with ThreadWaiter(watched.shared(), watched.descriptors) as waiter:
        while True:
            left = 0.0 if watched.ready() else deadline.left()
            descriptors = waiter.sleep(left)
            found = [*watched.ready(), *descriptors]
            if found or left == 0:
                return found


def select(
    rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait as `select.select` does; `timeout` is in seconds, None for no bound."""
    items = [
        (
            what,
            POLLIN * (what in rlist)
            | POLLOUT * (what in wlist)
            | POLLERR * (what in xlist),
        )
        for what in dict.fromkeys([*rlist, *wlist, *xlist])
    ]
    found = zmq_poll(items, None if timeout is None else timeout * 1000)
    events = dict(found)

    def having(event: int, given: list[Any]) -> list[Any]:
        return [what for what in given if events.get(_key(what), 0) & event]

    return having(POLLIN, rlist), having(POLLOUT, wlist), having(POLLERR, xlist)


def _key(what: Any) -> Any:
    if isinstance(what, BaseSocket | int):
        return what
    return what.fileno()
