"""Who gets a message: peers in turn (PUSH, DEALER), or the one named (ROUTER)."""

from collections.abc import Iterator
from typing import Protocol

from busduct._fallback._link import Link
from busduct._fallback._marks import Marks, message_cost
from busduct._fallback._outbox import Outbox
from busduct._fallback._waiting import WaitQueue
from busduct.errors import FullError, LocalProtocolError, PeerLostError

__all__ = ["Distributor", "RoundRobin", "Router"]


class Distributor(Protocol):
    """How a pattern hands messages to its peers."""

    up: list[Link]
    backlog: Outbox
    room: WaitQueue

    def accept(self, message: list[bytes]) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""

    def add(self, link: Link) -> None:
        """Let a peer take part."""

    def remove(self, link: Link) -> list[list[bytes]]:
        """Take a peer out; return what is lost by it."""

    def relieve(self, link: Link) -> None:
        """Use the room that a peer has made."""

    def take_all(self) -> list[list[bytes]]:
        """Take all that is unsent."""


def full_error(marks: Marks, num_queued: int) -> FullError:
    """Say which mark stands in the way of a queue of that length."""
    if num_queued >= marks.messages:
        return FullError(f"{marks.messages} messages")
    return FullError(f"{marks.nbytes} bytes")


class RoundRobin:
    """Each message to the next peer in turn that has room.

    Attributes:
        up: The peers that take part.
        backlog: Messages that wait while there is no peer, or none with room.
        room: Senders that wait.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._turn = 0
        self.up: list[Link] = []
        self.backlog = Outbox()
        self.room = WaitQueue()

    def accept(self, message: list[bytes]) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""
        cost = message_cost(message)
        backlog = self.backlog
        if not backlog and (link := self._next(cost)):
            link.push(message, cost)
        elif not self.up and self._marks.admit(len(backlog), backlog.cost, cost):
            backlog.push(message, cost)
        else:
            return self.room
        self._wake()
        return None

    def full_error(self, message: list[bytes]) -> FullError:
        """Say which mark stands in the way."""
        queue = self.up[0].outbox if self.up else self.backlog
        return full_error(self._marks, len(queue))

    def add(self, link: Link) -> None:
        """Let a peer take part; it gets what waits."""
        self.up.append(link)
        self._spill()
        self._wake()

    def remove(self, link: Link) -> list[list[bytes]]:
        """Take a peer out; what it had not sent goes to the others."""
        at = self.up.index(link)
        del self.up[at]
        self._turn -= at < self._turn
        self.backlog.unshift(link.outbox.take_all())
        self._spill()
        self._wake()
        return []

    def relieve(self, link: Link) -> None:
        """Use the room that a peer has made."""
        self._spill()
        self._wake()

    def take_all(self) -> list[list[bytes]]:
        """Take all that is unsent."""
        unsent = [message for link in self.up for message in link.outbox.take_all()]
        return unsent + self.backlog.take_all()

    def _next(self, cost: int) -> Link | None:
        for _ in range(len(self.up)):
            self._turn %= len(self.up)
            link = self.up[self._turn]
            self._turn += 1
            if link.admits(cost):
                return link
        return None

    def _spill(self) -> None:
        """Move what waits to peers with room, in order."""
        while self.backlog:
            cost = message_cost(self.backlog.messages[0])
            link = self._next(cost)
            if link is None:
                return
            link.push(self.backlog.pop(), cost)

    def _wake(self) -> None:
        if self.room and self._has_room():
            self.room.wake()

    def _has_room(self) -> bool:
        if not self.up:
            return self._marks.is_low(len(self.backlog), self.backlog.cost)
        return not self.backlog and any(link.is_low() for link in self.up)


class Router:
    """Each message to the peer that its first part names.

    Attributes:
        up: The peers that take part.
        backlog: Always empty: a message is for a peer that is there.
        room: Senders that wait for no peer in particular: nobody.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._routes: dict[bytes, Link] = {}
        self._num_generated = 0
        self.up: list[Link] = []
        self.backlog = Outbox()
        self.room = WaitQueue()

    def holder(self, routing_id: bytes) -> Link | None:
        """Return the peer that has this id."""
        return self._routes.get(routing_id)

    def accept(self, message: list[bytes]) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""
        link = self._route(message)
        parts = message[1:]
        cost = message_cost(parts)
        if not link.admits(cost):
            return link.room
        link.push(parts, cost)
        self._wake(link)
        return None

    def full_error(self, message: list[bytes]) -> FullError:
        """Say which mark stands in the way."""
        return full_error(self._marks, len(self._route(message).outbox))

    def _route(self, message: list[bytes]) -> Link:
        if len(message) < 2:
            msg = "a message of a ROUTER starts with a routing id; use send_multipart"
            raise LocalProtocolError(msg)
        link = self._routes.get(message[0])
        if link is None:
            raise PeerLostError(message[0].hex())
        return link

    def add(self, link: Link) -> None:
        """Let a peer take part, under its own id or one that is made up."""
        link.routing_id = link.peer_routing_id or self._generate()
        self._routes[link.routing_id] = link
        self.up.append(link)

    def remove(self, link: Link) -> list[list[bytes]]:
        """Take a peer out; return what is lost by it."""
        self.up.remove(link)
        del self._routes[link.routing_id]
        link.room.wake_all()
        return list(_addressed(link))

    def relieve(self, link: Link) -> None:
        """Use the room that a peer has made."""
        self._wake(link)

    def take_all(self) -> list[list[bytes]]:
        """Take all that is unsent."""
        return [message for link in self.up for message in _addressed(link)]

    def _wake(self, link: Link) -> None:
        if link.room and link.is_low():
            link.room.wake()

    def _generate(self) -> bytes:
        # No peer may begin its own id with a zero byte.
        while True:
            self._num_generated = (self._num_generated + 1) & 0xFFFFFFFF
            routing_id = b"\0" + self._num_generated.to_bytes(4, "big")
            if routing_id not in self._routes:
                return routing_id


def _addressed(link: Link) -> Iterator[list[bytes]]:
    for parts in link.outbox.take_all():
        yield [link.routing_id, *parts]
