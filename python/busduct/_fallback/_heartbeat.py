"""PINGs to a peer, and the bounds on its silence (docs/wire.md, "Heartbeats")."""

import time
from typing import Protocol

from busduct._fallback._options import SocketOptions
from busduct._fallback._reactor import Reactor
from busduct._fallback._timer import Timer

__all__ = ["Heartbeat"]


class Peer(Protocol):
    """What a heartbeat asks of a link."""

    @property
    def has_unread(self) -> bool:
        """Whether something came that was not read yet."""

    def ping(self) -> None:
        """Send a PING, unless the last one is still unsent."""

    def fall_silent(self) -> None:
        """End: the peer said nothing for too long."""


class Silence:
    """A bound on how long nothing may come from a peer."""

    __slots__ = ("_peer", "_reactor", "_seconds", "_since", "_timer")

    def __init__(self, peer: Peer, reactor: Reactor) -> None:
        self._peer = peer
        self._reactor = reactor
        self._seconds = 0.0
        self._since = 0.0
        self._timer: Timer | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self._timer is not None

    def bound(self, seconds: float) -> None:
        """Let the peer be silent for so long from here on."""
        self._seconds = seconds
        self._since = time.monotonic()
        # A timer that is due too early looks again; moving it each time costs more.
        if self._timer is not None and self._timer.due <= self._since + seconds:
            return
        self.unbound()
        self._timer = self._reactor.call_later(seconds, self._look)

    def extend(self) -> None:
        """Count from here on, if there is a bound."""
        self._since = time.monotonic()

    def unbound(self) -> None:
        """Let the peer be silent. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._since + self._seconds - time.monotonic()
        if left > 0:
            self._timer = self._reactor.call_later(left, self._look)
        elif self._peer.has_unread:
            # It spoke; it is this side that does not listen, its inbox being full.
            self.bound(self._seconds)
        else:
            self._peer.fall_silent()


class Heartbeat:
    """Asks a peer for signs of life, and ends its link when they fail to come."""

    __slots__ = (
        "_answer",
        "_interval",
        "_is_unsent",
        "_peer",
        "_reactor",
        "_rest",
        "_timeout",
        "_timer",
    )

    def __init__(self, peer: Peer, reactor: Reactor, options: SocketOptions) -> None:
        self._peer = peer
        self._reactor = reactor
        self._interval = options.heartbeat_interval
        self._timeout = options.heartbeat_timeout or options.heartbeat_interval or 0.0
        self._timer: Timer | None = None
        self._is_unsent = False
        # What the last PING bounds, and what the peer asked for by its own.
        self._answer = Silence(peer, reactor)
        self._rest = Silence(peer, reactor)

    def start(self) -> None:
        """Ask from here on, if there is an interval."""
        if self._interval is not None:
            self._timer = self._reactor.call_later(self._interval, self._beat)

    def _beat(self) -> None:
        self.start()
        if not self._answer.is_bounded:
            self._answer.bound(self._timeout)
            self._is_unsent = True
        self._peer.ping()

    def on_written(self, *, is_all: bool) -> None:
        """Note that the kernel took bytes: while it does, a PING may be on its way.

        Args:
            is_all: No PING is left to be written.
        """
        if self._is_unsent:
            self._is_unsent = not is_all
            self._answer.extend()

    def on_read(self, ttl: float) -> None:
        """Note that bytes came.

        Args:
            ttl: Seconds of silence after which the peer wants to be given up; 0: none.
        """
        self._answer.unbound()
        self._is_unsent = False
        if ttl:
            self._rest.bound(ttl)
        else:
            self._rest.unbound()

    def stop(self) -> None:
        """Ask no more, and let the peer be silent. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._answer.unbound()
        self._rest.unbound()
