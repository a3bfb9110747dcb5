"""What a socket knows of its past: counters, faults of peers, lost messages."""

from collections import deque

from busduct._fallback._counters import Counters
from busduct._fallback._marks import Marks, message_cost
from busduct._fallback._outbox import Lane
from busduct.errors import AuthError, BusductError, ProtocolError

__all__ = ["Record"]

_MAX_FAULTS = 16


class Record:
    """The past of one socket.

    Attributes:
        counters: What it has done.
    """

    def __init__(self, marks: Marks) -> None:
        self.counters = Counters()
        self._marks = marks
        self._faults: deque[BusductError] = deque(maxlen=_MAX_FAULTS)
        self._lost = Lane()

    def note(self, error: BusductError) -> None:
        """Remember what a peer did wrong."""
        self._faults.append(error)

    def note_end(self, error: BusductError | None) -> None:
        """Remember why a link ended, if there is a reason."""
        if error is not None:
            is_violation = isinstance(error, AuthError | ProtocolError)
            self.counters.num_protocol_errors += is_violation
            self.note(error)

    def faults(self) -> list[BusductError]:
        """Return what peers did wrong, oldest first."""
        return list(self._faults)

    def lose(self, messages: list[list[bytes]], *, keep: bool) -> None:
        """Count messages that will not be delivered.

        Args:
            messages: As they were given to the socket.
            keep: Have `take_lost` return them, as far as the marks permit.
        """
        self.counters.num_undelivered += len(messages)
        if not keep:
            return
        for message in messages:
            cost = message_cost(message)
            lost = self._lost
            if self._marks.admit(len(lost.messages), lost.cost, cost):
                lost.push(message, cost)

    def take_lost(self) -> list[list[bytes]]:
        """Take the messages that are known to be lost."""
        messages = list(self._lost.messages)
        self._lost.clear()
        return messages
