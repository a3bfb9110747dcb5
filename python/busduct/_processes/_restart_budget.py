"""How often, and how soon, a process that ended is started again."""

from collections import deque

__all__ = ["RestartBudget"]

FIRST_DELAY = 0.1
MAX_DELAY = 5.0


class RestartBudget:
    """How many restarts within what time, and how long to wait before each.

    The first restart within the window is immediate; the wait then doubles from 0.1 s
    up to 5 s.
    """

    def __init__(self, max_restarts: int, window: float) -> None:
        self._max_restarts = max_restarts
        self._window = window
        self._taken: deque[float] = deque()

    def take(self, now: float) -> float | None:
        """Take one restart; return the seconds to wait first, or None if none is left.

        Args:
            now: Seconds of a monotonic clock.
        """
        while self._taken and self._taken[0] <= now - self._window:
            self._taken.popleft()
        num_taken = len(self._taken)
        if num_taken >= self._max_restarts:
            return None
        self._taken.append(now)
        return min(FIRST_DELAY * 2 ** (num_taken - 1), MAX_DELAY) if num_taken else 0.0
