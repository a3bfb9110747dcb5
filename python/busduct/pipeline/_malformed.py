"""What to do with a message that does not decode."""

import logging

from busduct.pipeline.messages import salvage_rids

__all__ = ["MalformedMessages"]


class MalformedMessages:
    """Count malformed messages and log the first; a flood of them floods no log.

    Attributes:
        count: How many there were.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.count = 0
        self._log = log

    def note(self, data: bytes, error: Exception) -> list[str]:
        """Note one; return the ids of the requests that it names, if any."""
        self.count += 1
        if self.count == 1:
            self._log.warning("dropping malformed messages: %s", error)
        return salvage_rids(data)
