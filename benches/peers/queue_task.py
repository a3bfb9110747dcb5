"""What a peer of the queue benchmark is asked to do, and where its processes meet."""

import mmap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Messages that are checked, and warm both ends up, before the clock starts.
NUM_CHECKED = 4
# Words before the times: whether to begin, then what each consumer has counted.
GO, COUNTERS, TIMES = 0, 1, 64


@dataclass(frozen=True)
class Task:
    """One measurement, as the runner asked for it."""

    directory: Path
    nbytes: int
    # In all, and a second; 0 for as fast as they are taken.
    count: int
    pace: float
    # Of this process among those of its kind.
    index: int
    num_producers: int
    num_consumers: int
    seconds: float
    payload: bytes = field(repr=False)

    def numbered(self, index: int) -> bytes:
        """Return the payload of one of the checked messages."""
        return index.to_bytes(8, "big") + self.payload[8:]

    def check(self, index: int, received: Any) -> None:
        """Compare a checked message with what was sent.

        Raises:
            ValueError: It is another one, or damaged.
        """
        if bytes(received) != self.numbered(index):
            msg = f"message {index} of {self.nbytes} bytes did not arrive as sent"
            raise ValueError(msg)


class Board:
    """Words that the processes of one measurement share.

    Times are those at which messages were put, by their numbers: not in the messages,
    so that each peer may send the same object again and again.
    """

    def __init__(self, task: Task) -> None:
        with (task.directory / "board").open("a+b") as file:
            nbytes = 8 * (TIMES + task.count)
            file.truncate(nbytes)
            self.words = memoryview(mmap.mmap(file.fileno(), nbytes)).cast("Q")
        self.times = self.words[TIMES:]

    def rate(self, seconds: float) -> float:
        """Count for a while, once all count, what all consumers take a second."""
        time.sleep(seconds / 4)
        before, began = self._num_taken(), time.perf_counter()
        time.sleep(seconds)
        return (self._num_taken() - before) / (time.perf_counter() - began)

    def num_counting(self) -> int:
        """Return how many consumers have taken something."""
        return sum(count > 0 for count in self.words[COUNTERS:TIMES])

    def _num_taken(self) -> int:
        return sum(self.words[COUNTERS:TIMES])
