"""What happened to a socket's connections, held until somebody takes it."""

import operator
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Self, final

from busduct._fallback._reactor import Reactor
from busduct._fallback._waiting import Operation, WaitQueue, block
from busduct.errors import ClosedError, ConfigError
from busduct.monitor import MonitorEvent

if TYPE_CHECKING:
    from busduct._fallback._context import Context

__all__ = ["EventLog", "Monitor"]


class EventLog:
    """The latest events that nobody took.

    Attributes:
        num_dropped: Events that made way for later ones.
        is_ended: Nothing more will be added.
    """

    def __init__(self, max_events: int) -> None:
        """Make an empty log.

        Raises:
            ConfigError: It is to hold fewer than 1.
        """
        if operator.index(max_events) < 1:
            msg = f"max_events is {max_events}; it must be at least 1"
            raise ConfigError(msg)
        self._events: deque[MonitorEvent] = deque()
        self._max_events = max_events
        self._waiters = WaitQueue()
        self.num_dropped = 0
        self.is_ended = False

    def append(self, event: MonitorEvent) -> None:
        """Hold an event, in place of the oldest if there are too many."""
        if len(self._events) >= self._max_events:
            self._events.popleft()
            self.num_dropped += 1
        self._events.append(event)
        self._waiters.wake()

    def end(self) -> None:
        """Hold what there is, and no more. Idempotent."""
        self.is_ended = True
        self._waiters.wake_all()

    def take(self) -> MonitorEvent | WaitQueue:
        """Take the oldest event.

        Raises:
            ClosedError: There is none, and none will come.
        """
        if not self._events:
            if self.is_ended:
                what = "monitor"
                raise ClosedError(what)
            return self._waiters
        event = self._events.popleft()
        if self._events:
            self._waiters.wake()
        return event

    def take_next(self) -> MonitorEvent | WaitQueue:
        """Take the oldest event of an iteration.

        Raises:
            StopAsyncIteration: There is none, and none will come.
        """
        try:
            return self.take()
        except ClosedError:
            raise StopAsyncIteration from None


@final
class Monitor:
    """What happens to a socket's connections, one event after the other.

    The twin of the native class; see there for the contract.
    """

    _context: "Context"
    _reactor: Reactor
    _log: EventLog

    def __init__(self) -> None:
        msg = "open a monitor by Socket.monitor"
        raise TypeError(msg)

    @classmethod
    def _open(cls, context: "Context", reactor: Reactor, log: EventLog) -> Self:
        self = cls.__new__(cls)
        # Held so that the context lives as long as its monitors are in use.
        self._context = context
        self._reactor = reactor
        self._log = log
        return self

    @property
    def num_dropped(self) -> int:
        """Events dropped because nobody took them in time."""
        return self._log.num_dropped

    def recv_nowait(self) -> MonitorEvent | None:
        """Take the next event; None if there is none."""
        with self._reactor:
            event = self._log.take()
        return None if isinstance(event, WaitQueue) else event

    def recv_blocking(self, timeout: float | None = None) -> MonitorEvent:
        """Take the next event, waiting at most `timeout` seconds."""
        return block(self._reactor, self._log.take, timeout)

    def close(self) -> None:
        """End it. Idempotent."""
        with self._reactor:
            self._log.end()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[MonitorEvent]:
        return Operation(self._reactor, self._log.take_next)
