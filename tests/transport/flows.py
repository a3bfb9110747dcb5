"""Streams of numbered messages whose operations may be cancelled at any moment.

Each operation that is started is on record, with the turns in which it began and ended,
so that what was received can be held against what was accepted.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.transport.waiting import eventually

PADDING = b"." * 600


@dataclass
class Sending:
    """One operation that gives messages to a socket."""

    number: int
    count: int
    is_urgent: bool
    began: int
    ended: int | None = None
    is_cancelled: bool = False


class Clock:
    """Count what happens, so that it can be told what came first."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def tick(self) -> int:
        """Return a number greater than all before."""
        return next(self._ticks)


class Tap:
    """A socket that is received from."""

    WAYS = ("recv", "recv_multipart", "recv_many", "wait_readable")

    def __init__(self, sock: Any, ways: Sequence[str] = WAYS) -> None:
        self.sock = sock
        self.ways = ways
        self.taken: list[list[bytes]] = []

    async def take(self, way: str) -> None:
        """Receive in one way, and note what came."""
        result = await getattr(self.sock, way)()
        if way == "recv":
            self.taken.append([result])
        elif way == "recv_multipart":
            self.taken.append(result)
        elif way == "recv_many":
            assert result, "receiving many gave none"
            self.taken.extend([part] for part in result)

    def drain(self) -> None:
        """Take what is there."""
        while (parts := self.sock.recv_multipart_nowait()) is not None:
            self.taken.append(parts)


@dataclass
class Flow:
    """What one socket sends to one place, and what came of it there.

    Attributes:
        name: Stands in each message.
        sock: Sends.
        taps: Receive, each of them all of it.
        ways: How it may send.
        to: The routing id that a ROUTER needs.
        sender_id: What a ROUTER puts first.
    """

    name: bytes
    sock: Any
    taps: list[Tap]
    ways: Sequence[str] = ("send", "send_many", "send_multipart", "wait_writable")
    to: bytes = b""
    sender_id: bytes = b""
    clock: Clock = field(default_factory=Clock)
    sendings: list[Sending] = field(default_factory=list)

    def start(self, way: str) -> Awaitable[None]:
        """Start to send in one way; it is on record from here on."""
        if way == "wait_writable":
            return self._wait()
        count = 3 if way == "send_many" else 1
        is_urgent = way == "send_urgent"
        sending = Sending(len(self.sendings), count, is_urgent, self.clock.tick())
        self.sendings.append(sending)
        return self._send(way, sending)

    async def _wait(self) -> None:
        await self.sock.wait_writable()

    async def _send(self, way: str, sending: Sending) -> None:
        bodies = [
            b"news:%s:%d:%d:%s" % (self.name, sending.number, index, PADDING)
            for index in range(sending.count)
        ]
        address = [self.to] if self.to else []
        calls = {
            "send": lambda: self.sock.send(bodies[0]),
            "send_many": lambda: self.sock.send_many(bodies),
            "send_multipart": lambda: self.sock.send_multipart(address + bodies),
            "send_urgent": lambda: self.sock.send_urgent(address + bodies),
        }
        try:
            await calls[way]()
        except asyncio.CancelledError:
            sending.is_cancelled = True
            raise
        sending.ended = self.clock.tick()

    async def settle(self) -> None:
        """Receive until all that was accepted has come."""
        accepted = sum(s.count for s in self.sendings if s.ended is not None)
        for tap in self.taps:

            def has_come(tap: Tap = tap) -> bool:
                tap.drain()
                whole = {s.number for s in self.sendings if s.ended is not None}
                came = sum(number in whole for number, _ in self._came(tap))
                return came >= accepted

            await eventually(has_come)

    def check(self) -> None:
        """Check that what came is what was accepted: once, and in order."""
        for tap in self.taps:
            self._check(tap)

    def _check(self, tap: Tap) -> None:
        came = self._came(tap)
        assert len(set(came)) == len(came), "a message came twice"
        indexes: dict[int, list[int]] = {}
        for number, index in came:
            indexes.setdefault(number, []).append(index)
        for sending in self.sendings:
            got = indexes.get(sending.number, [])
            assert got == list(range(len(got))), "messages of one call out of order"
            if sending.ended is not None:
                assert len(got) == sending.count, "an accepted message is lost"
            elif sending.count == 1:
                assert not got, "a message came that was not accepted"
        self._check_order(came, is_urgent=False)
        self._check_order(came, is_urgent=True)

    def _check_order(self, came: Sequence[tuple[int, int]], *, is_urgent: bool) -> None:
        latest = -1
        for number, _ in came:
            sending = self.sendings[number]
            if sending.is_urgent is not is_urgent or sending.ended is None:
                continue
            assert sending.ended > latest, "a message overtook an earlier one"
            latest = max(latest, sending.began)

    def _came(self, tap: Tap) -> list[tuple[int, int]]:
        """Return the numbers of what came from here, in order."""
        came = []
        for parts in tap.taken:
            *before, body = parts
            _, name, number, index, padding = body.split(b":")
            if name == self.name:
                assert padding == PADDING
                assert before == ([self.sender_id] if self.sender_id else [])
                came.append((int(number), int(index)))
        return came


@dataclass
class Watch:
    """The events of a socket, of which each connection gives the same three."""

    monitor: Any
    kinds: list[str] = field(default_factory=list)
    num_guests: int = 0

    async def take(self) -> None:
        """Take the next event."""
        self.kinds.append((await anext(self.monitor)).kind)

    def check(self) -> None:
        """Check that each event was taken once, and in order."""
        while (event := self.monitor.recv_nowait()) is not None:
            self.kinds.append(event.kind)
        expected = ["accepted", "connected", "disconnected"] * self.num_guests
        assert self.kinds == expected, Counter(self.kinds)
