"""Tell of messages that are too large for every consumer there is."""

import logging
from collections import deque

from busduct.errors import BusductError, LocalProtocolError
from busduct.fmq._producer._share import Entry

__all__ = ["Unwanted"]

_log = logging.getLogger("busduct.fmq")

NUM_ERRORS_KEPT = 16


class Unwanted:
    """Keeps an error for each such message, and logs the first.

    Args:
        name: Of the queue, for the log.

    Attributes:
        errors: Of the last ones.
    """

    def __init__(self, name: str) -> None:
        self.errors: deque[BusductError] = deque(maxlen=NUM_ERRORS_KEPT)
        self._name = name
        self._has_logged = False

    def note(self, entry: Entry, limit: int) -> None:
        """Be told of a message, as often as it is found to be one.

        Args:
            entry: The message.
            limit: Bytes that some consumer takes.
        """
        if entry.is_unwanted:
            return
        entry.is_unwanted = True
        error = LocalProtocolError(
            f"message {entry.msg_id} of {entry.encoded.nbytes} bytes waits: no "
            f"consumer has a max_message_bytes beyond {limit}"
        )
        self.errors.append(error)
        level = logging.DEBUG if self._has_logged else logging.WARNING
        self._has_logged = True
        _log.log(level, "queue %s: %s", self._name, error)
