"""Messages that wait for a consumer, in the order of their ids. No I/O."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from busduct.fmq._producer._share import Entry

__all__ = ["Backlog"]


class Backlog:
    """What no consumer has.

    A message that is too large for the consumers with room is passed over, so that it
    holds up nobody who would not get it.

    Attributes:
        queue: The next ones, oldest first; always the same object.
        least_passed_over: Bytes of the smallest that was passed over.
    """

    def __init__(self) -> None:
        self.queue: deque[Entry] = deque()
        self.least_passed_over: float = math.inf
        # Oldest first, and all of them older than those of the queue.
        self._passed_over: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._passed_over) + len(self.queue)

    def __iter__(self) -> Iterator[Entry]:
        return chain(self._passed_over, self.queue)

    def pass_over(self) -> Entry:
        """Go on with the second of the queue; return what was the first."""
        entry = self.queue.popleft()
        self._passed_over.append(entry)
        self.least_passed_over = min(self.least_passed_over, entry.encoded.nbytes)
        return entry

    def look_again(self) -> None:
        """Begin with the oldest of all."""
        self.queue.extendleft(reversed(self._passed_over))
        self._passed_over.clear()
        self.least_passed_over = math.inf

    def take_back(self, returned: Iterable[Entry]) -> None:
        """Put entries at their places, and begin with the oldest of all."""
        self.look_again()
        ordered = sorted(returned, key=_msg_id)
        if not ordered:
            return
        last = ordered[-1].msg_id
        while self.queue and self.queue[0].msg_id < last:
            ordered.append(self.queue.popleft())
        ordered.sort(key=_msg_id)
        self.queue.extendleft(reversed(ordered))

    def pop_oldest(self) -> Entry:
        """Take the oldest of all; there must be one."""
        return (self._passed_over or self.queue).popleft()

    def num_over(self, nbytes: float) -> int:
        """Return how many were passed over that are larger."""
        return sum(entry.encoded.nbytes > nbytes for entry in self._passed_over)


def _msg_id(entry: Entry) -> int:
    return entry.msg_id
