"""How much a producer may hold. No I/O."""

from busduct.errors import FrameTooLargeError, FullError
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import Encoded

__all__ = ["Marks"]


class Marks:
    """The bounds of one producer.

    Args:
        options: Of the queue.

    Attributes:
        messages: Held at most.
        nbytes: Of those, unless there is only one.
        message_nbytes: Of one.
    """

    def __init__(self, options: QueueOptions) -> None:
        self.messages = options.hwm_messages
        self.nbytes = options.hwm_bytes
        self.message_nbytes = options.max_message_bytes

    def check(self, encoded: Encoded) -> None:
        """Refuse what is too large.

        Raises:
            FrameTooLargeError: Over `message_nbytes`.
        """
        if encoded.nbytes > self.message_nbytes:
            raise FrameTooLargeError(encoded.nbytes, self.message_nbytes)

    def permit(self, num_messages: int, nbytes: int) -> bool:
        """Tell whether so much may be held."""
        return num_messages <= self.messages and (
            num_messages <= 1 or nbytes <= self.nbytes
        )

    def left(self, num_messages: int, nbytes: int) -> tuple[int, int]:
        """Return the messages and bytes that may be held beside so much."""
        return max(self.messages - num_messages, 0), max(self.nbytes - nbytes, 0)

    def full_error(self) -> FullError:
        """Return the error of who may not wait."""
        return FullError(f"{self.messages} messages or {self.nbytes} bytes")
