"""Make messages of what was taken."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from busduct.fmq._consumer._frames import without_frames
from busduct.fmq._consumer._producer_link import ProducerLink, Taken
from busduct.fmq._descriptor import Descriptor
from busduct.fmq._message import Message
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._wire import Data, Encoding

__all__ = ["Opener"]

MAX_ERRORS = 16

# NB: the attribute of an enumeration takes as long as a short message.
_BYTES = Encoding.BYTES


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
        self._gives_bytes = isinstance(decode, PayloadDecoder) and decode.gives_bytes

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

    def open_ahead(self, link: ProducerLink, most: int, nbytes: int) -> list[Message]:
        """Make messages of the first that a connection has, all of them small bytes.

        Args:
            link: The connection.
            most: So many at most.
            nbytes: Another one only while they have fewer in all.
        """
        messages: list[Message] = []
        if not self._gives_bytes:
            return messages
        producer_id = link.origin.producer_id
        for data, size in islice(link.held, most):
            body = data.body
            if (
                nbytes <= 0
                or data.num_deliveries != 1
                or data.is_large
                or data.encoding is not _BYTES
                or type(body) is not bytes
            ):
                break
            messages.append(
                Message(body, data.msg_id, data.timestamp, None, producer_id)
            )
            nbytes -= size
        return messages
