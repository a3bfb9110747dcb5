"""Make messages of what was taken."""

from collections import deque
from collections.abc import Callable
from typing import Any

from busduct.fmq._consumer._frames import without_frames
from busduct.fmq._consumer._producer_link import Taken
from busduct.fmq._descriptor import Descriptor
from busduct.fmq._message import Message
from busduct.fmq._wire import Data

__all__ = ["Opener"]

MAX_ERRORS = 16


class Opener:
    """Decodes payloads, and keeps why some did not decode.

    Args:
        decode: Gives the payload.

    Attributes:
        num_undecodable: Messages for which it raised an exception.
        errors: The last 16 of those, the oldest first.
    """

    def __init__(self, decode: Callable[[Data], Any]) -> None:
        self.num_undecodable = 0
        self.errors: deque[Exception] = deque(maxlen=MAX_ERRORS)
        self._decode = decode

    def open(self, taken: Taken) -> Message | None:
        """Make a message; None of one that does not decode."""
        link, _, data, nbytes = taken
        try:
            payload = self._decode(data)
        except Exception as error:
            self.num_undecodable += 1
            self.errors.append(without_frames(error))
            return None
        return Message(
            payload,
            data.msg_id,
            data.timestamp,
            Descriptor("", nbytes) if data.is_large else None,
            link.origin.producer_id,
            data.num_deliveries,
        )
