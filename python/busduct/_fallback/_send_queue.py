"""A queue of messages to be sent that is kept between its marks."""

from busduct._fallback._counters import Counters
from busduct._fallback._options import SocketOptions
from busduct._fallback._outbox import Outbox
from busduct.errors import FullError

__all__ = ["SendQueue"]


class SendQueue(Outbox):
    """The messages for one peer, or those that wait for any.

    Urgent messages have the marks to themselves, and so have the others.
    """

    __slots__ = ("_counters", "_is_conflating", "_marks")

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__()
        self._marks = options.marks
        self._is_conflating = options.send_policy == "conflate"
        self._counters = counters

    def admits(self, cost: int, *, urgent: bool = False) -> bool:
        """Tell whether a message that costs so much fits between the marks."""
        if self._is_conflating and not urgent:
            return not self.num_droppable
        lane = self.urgent if urgent else self.ordinary
        return self._marks.admit(len(lane.messages), lane.cost, cost)

    def is_low(self, *, urgent: bool = False) -> bool:
        """Tell whether senders that wait should go on."""
        lane = self.urgent if urgent else self.ordinary
        return self._marks.is_low(len(lane.messages), lane.cost)

    def make_room(self, cost: int) -> None:
        """Drop old messages until one that costs so much fits, or none are left."""
        while not self.admits(cost) and self.drop_oldest():
            self._counters.num_dropped += 1

    def conflate(self) -> None:
        """Keep the newest message only, if this queue is one that does."""
        while self._is_conflating and self.num_droppable > 1:
            self.drop_oldest()
            self._counters.num_dropped += 1

    def full_error(self, *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""
        lane = self.urgent if urgent else self.ordinary
        if len(lane.messages) >= self._marks.messages:
            return FullError(f"{self._marks.messages} messages")
        return FullError(f"{self._marks.nbytes} bytes")
