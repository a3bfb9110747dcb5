"""When a task that goes on receiving lets others have their turn."""

from collections.abc import Sequence
from typing import Final

from busduct._fallback._marks import PART_OVERHEAD_NBYTES

__all__ = ["Turn"]

_MAX_CALLS: Final = 2048
_MAX_NBYTES: Final = 4 << 20


class Turn:
    """What was taken since other tasks had their turn."""

    def __init__(self) -> None:
        self._num_calls = 0
        self._nbytes = 0

    @property
    def is_over(self) -> bool:
        """Whether a task that goes on taking would keep others from theirs."""
        return self._num_calls >= _MAX_CALLS or self._nbytes >= _MAX_NBYTES

    def note(self, taken: bytes | Sequence[bytes]) -> None:
        """Count what one call took: a part, or several."""
        parts = (taken,) if isinstance(taken, bytes) else taken
        self._num_calls += 1
        self._nbytes += sum(map(len, parts)) + PART_OVERHEAD_NBYTES * len(parts)

    def begin(self) -> None:
        """Note that all others have had theirs."""
        self._num_calls = self._nbytes = 0
