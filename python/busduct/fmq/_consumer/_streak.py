"""Messages made ready to be taken by the shortest way."""

from collections import deque
from collections.abc import Iterable

from busduct.fmq._message import Message

__all__ = ["Streak"]


class Streak:
    """The first small messages of the connection whose turn it is.

    They are still on the shelf. When the streak ends, those that were taken are settled
    together, and the others are as if nothing had been.

    Attributes:
        ready: Those that were not taken; always the same object.
        num_begun: Messages that are part of it; 0 while there is none.
        num_taken: Messages that were taken in all the streaks that ended.
    """

    __slots__ = ("num_begun", "num_taken", "ready")

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.num_begun = 0
        self.num_taken = 0

    def begin(self, messages: Iterable[Message]) -> None:
        """Make messages ready; there is none."""
        self.ready.extend(messages)
        self.num_begun = len(self.ready)

    def end(self) -> int:
        """Have none; return how many of its messages were taken."""
        count = self.num_begun - len(self.ready)
        self.ready.clear()
        self.num_begun = 0
        self.num_taken += count
        return count
