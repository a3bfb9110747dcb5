"""How long to wait before the next attempt to connect."""

import random

from busduct._fallback._options import SocketOptions

__all__ = ["Backoff"]

_MAX_DOUBLINGS = 16


class Backoff:
    """Waits that double with each failure.

    Attributes:
        num_failed: Attempts since the last success.
    """

    def __init__(self, options: SocketOptions) -> None:
        self._first = options.reconnect_interval
        self._last = options.reconnect_max
        self.num_failed = 0

    def next_wait(self) -> float:
        """Count a failure; return the seconds to wait."""
        doubled = self._first * 2.0 ** min(self.num_failed, _MAX_DOUBLINGS)
        self.num_failed += 1
        # Peers that failed together should not come back together.
        return min(doubled, self._last) * random.uniform(0.75, 1.25)

    def reset(self) -> None:
        """Start anew."""
        self.num_failed = 0
