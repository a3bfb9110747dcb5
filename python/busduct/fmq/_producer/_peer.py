"""One consumer of the queue: a link to it, opened again whenever it is lost."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from busduct.errors import BusductError, ClosedError
from busduct.fmq._producer._link import Link
from busduct.fmq._producer._share import Entry

__all__ = ["OpenLink", "Peer"]

OpenLink: TypeAlias = Callable[[str, Callable[[BusductError | None], None]], Link]

# Seconds before the next attempt; doubled after each that did not last.
FIRST_DELAY = 0.02
MAX_DELAY = 2.0
# The same after a consumer has broken the protocol.
FIRST_FAULT_DELAY = 0.5
MAX_FAULT_DELAY = 30.0
# A link that lasted so long makes the delay the first one again.
STEADY_SECONDS = 5.0


class Peer:
    """Keeps linked to a consumer until it is not listed, and the link has ended.

    Args:
        endpoint: Of the consumer.
        open_link: Opens a link there, which calls the second argument at its end.
        on_fault: Called with what the consumer did wrong.
        on_gone: Called once it is neither listed nor connected.

    Attributes:
        endpoint: To which the next link is opened.
    """

    def __init__(
        self,
        endpoint: str,
        open_link: OpenLink,
        *,
        on_fault: Callable[[BusductError], None],
        on_gone: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self._open_link = open_link
        self._on_fault = on_fault
        self._on_gone = on_gone
        self._is_listed = True
        self._loop = asyncio.get_running_loop()
        self._delay = FIRST_DELAY
        self._fault_delay = FIRST_FAULT_DELAY
        self._opened_at = 0.0
        self._link: Link | None = None
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Open a link."""
        self._retry = None
        self._opened_at = self._loop.time()
        try:
            self._link = self._open_link(self.endpoint, self._on_end)
        except ClosedError:
            # The context is, and nothing can be sent any more.
            self._on_gone()
        except (BusductError, OSError) as error:
            self._on_end(error if isinstance(error, BusductError) else None)

    def note_listed(self, endpoint: str) -> None:
        """Be told that it is listed."""
        self.endpoint = endpoint
        self._is_listed = True

    def note_unlisted(self) -> None:
        """Be told that it is not listed: as long as it is connected, it stays."""
        self._is_listed = False
        if self._link is None or not self._link.is_connected:
            self.close(0)
            self._on_gone()

    def drain(self) -> None:
        """Take what the consumer has said."""
        if self._link is not None:
            self._link.drain()

    def say_goodbye(self) -> None:
        """Ask it to own what it has, as `Link.say_goodbye`."""
        if self._link is not None:
            self._link.say_goodbye()

    def close(self, linger: float | None) -> None:
        """End it, as `Link.close`."""
        if self._retry is not None:
            self._retry.cancel()
        if self._link is not None:
            self._link.close(linger)

    def unsent(self) -> list[Entry]:
        """Return what the last link did not send, as `Link.unsent`."""
        return [] if self._link is None else self._link.unsent()

    def _on_end(self, fault: BusductError | None) -> None:
        self._link = None
        if fault is not None:
            self._on_fault(fault)
        if not self._is_listed:
            self._on_gone()
            return
        self._retry = self._loop.call_later(self._next_delay(fault), self.open)

    def _next_delay(self, fault: BusductError | None) -> float:
        if fault is not None:
            delay = self._fault_delay
            self._fault_delay = min(delay * 2, MAX_FAULT_DELAY)
            return delay
        if self._loop.time() - self._opened_at >= STEADY_SECONDS:
            self._delay = FIRST_DELAY
        delay = self._delay
        self._delay = min(delay * 2, MAX_DELAY)
        return delay
