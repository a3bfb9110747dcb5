"""What is to be sent to one peer: messages, encoded only when they are written."""

from collections import deque
from collections.abc import Callable, Sequence

from busduct._fallback._marks import message_cost
from busduct._fallback._zmtp import encode_message, framed_nbytes

__all__ = ["Outbox", "Written"]

# Payloads up to this are joined with their headers; larger ones are written from where
# they are.
_JOIN_MAX_NBYTES = 16 << 10
_BATCH_NBYTES = 256 << 10
_MAX_BUFFERS = 256

Buffers = list[bytes | memoryview]


class Written:
    """Messages written to their end, and their payload bytes."""

    __slots__ = ("nbytes", "num_messages")

    def __init__(self) -> None:
        self.num_messages = 0
        self.nbytes = 0


class Outbox:
    """A queue of messages, of which the first may be written in part.

    Attributes:
        cost: What the messages count in a queue that is bounded by bytes.
    """

    __slots__ = ("_written", "cost", "messages")

    def __init__(self) -> None:
        self.messages: deque[list[bytes]] = deque()
        self.cost = 0
        self._written = 0

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_amid_message(self) -> bool:
        """Whether nothing may be written before the rest of the first message."""
        return self._written > 0

    def push(self, message: list[bytes], cost: int) -> None:
        """Append a message that costs so much."""
        self.messages.append(message)
        self.cost += cost

    def pop(self) -> list[bytes]:
        """Take the first message."""
        message = self.messages.popleft()
        self.cost -= message_cost(message)
        self._written = 0
        return message

    def unshift(self, messages: Sequence[list[bytes]]) -> None:
        """Put messages back in front, in their order."""
        for message in reversed(messages):
            self.messages.appendleft(message)
            self.cost += message_cost(message)

    def take_all(self) -> list[list[bytes]]:
        """Take all that is not written to its end."""
        messages = list(self.messages)
        self.messages.clear()
        self.cost = 0
        self._written = 0
        return messages

    def write(
        self, send: Callable[[Buffers], int], done: Written, *, only_first: bool
    ) -> bool:
        """Hand one batch to `send`; return whether it took everything.

        Args:
            send: Returns how many bytes it took.
            done: What was written to its end is added here.
            only_first: Nothing beyond the first message, which is under way.
        """
        buffers, offered = self._batch(only_first=only_first)
        taken = send(buffers)
        self._advance(taken, done)
        return taken == offered

    def _batch(self, *, only_first: bool) -> tuple[Buffers, int]:
        buffers: Buffers = []
        small: Buffers = []
        offered = 0
        skip = self._written
        for message in self.messages:
            for piece in encode_message(message):
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                view = memoryview(piece)[skip:] if skip else piece
                skip = 0
                offered += len(view)
                if len(view) > _JOIN_MAX_NBYTES:
                    buffers += (b"".join(small), view)
                    small = []
                else:
                    small.append(view)
            full = offered >= _BATCH_NBYTES or len(buffers) >= _MAX_BUFFERS
            if full or only_first:
                break
        if small:
            buffers.append(b"".join(small))
        return buffers[:1000], sum(map(len, buffers))

    def _advance(self, taken: int, done: Written) -> None:
        self._written += taken
        while self.messages:
            message = self.messages[0]
            framed = framed_nbytes(message)
            if self._written < framed:
                break
            self._written -= framed
            self.messages.popleft()
            self.cost -= message_cost(message)
            done.num_messages += 1
            done.nbytes += sum(map(len, message))
