"""What peers of a directory did wrong: kept, counted, and logged once."""

import logging
from collections import deque

from busduct.errors import BusductError

__all__ = ["Faults"]

_log = logging.getLogger("busduct.fmq")

_NUM_KEPT = 16


class Faults:
    """The last errors of one who takes part in a directory.

    Args:
        what: Took part, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._errors: deque[BusductError] = deque(maxlen=_NUM_KEPT)
        self._logged: set[type[BusductError]] = set()

    def note(self, error: BusductError) -> None:
        """Keep an error; log the first of its kind, for a flood floods no log."""
        self._errors.append(error)
        if type(error) not in self._logged:
            self._logged.add(type(error))
            _log.warning("%s: %s", self._what, error)

    def recent(self) -> list[BusductError]:
        """Return the last 16, oldest first."""
        return list(self._errors)
