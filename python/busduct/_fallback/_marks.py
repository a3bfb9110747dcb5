"""High-water marks, and what a message counts against them."""

from dataclasses import dataclass
from typing import Final

__all__ = ["PART_OVERHEAD_NBYTES", "Marks", "message_cost"]

# What a part counts in a queue besides its payload, the same as in the native backend.
PART_OVERHEAD_NBYTES: Final = 96


def message_cost(parts: list[bytes]) -> int:
    """Return what a message counts in a queue that is bounded by bytes."""
    total = len(parts) * PART_OVERHEAD_NBYTES
    for part in parts:
        total += len(part)
    return total


@dataclass(frozen=True, slots=True)
class Marks:
    """A high-water mark, by messages and by bytes."""

    messages: int
    nbytes: int

    def admit(self, num_queued: int, nbytes: int, extra: int) -> bool:
        """Tell whether a queue takes one more message; an empty one takes any."""
        return num_queued == 0 or (
            num_queued < self.messages and nbytes + extra <= self.nbytes
        )

    def is_low(self, num_queued: int, nbytes: int) -> bool:
        """Tell whether a queue fell so far that who waits for it should go on."""
        return num_queued <= self.messages // 2 and nbytes <= self.nbytes // 2
