"""What is to be sent to one peer: messages, encoded only when they are written."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from busduct._fallback._marks import message_cost
from busduct._fallback._zmtp import encode_message, framed_nbytes

__all__ = ["Buffers", "Lane", "Outbox", "Written"]

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

    def add(self, message: list[bytes]) -> None:
        """Count a message."""
        self.num_messages += 1
        self.nbytes += sum(map(len, message))


class Lane:
    """Messages in order, and what they cost together."""

    __slots__ = ("cost", "messages")

    def __init__(self) -> None:
        self.messages: deque[list[bytes]] = deque()
        self.cost = 0

    def push(self, message: list[bytes], cost: int) -> None:
        """Append a message that costs so much."""
        self.messages.append(message)
        self.cost += cost

    def pop(self) -> list[bytes]:
        """Take the first message."""
        message = self.messages.popleft()
        self.cost -= message_cost(message)
        return message

    def absorb(self, other: "Lane") -> None:
        """Put all of another lane in front."""
        self.messages.extendleft(reversed(other.messages))
        self.cost += other.cost
        other.clear()

    def clear(self) -> None:
        """Forget all."""
        self.messages.clear()
        self.cost = 0


class Outbox:
    """A queue of messages, of which the first may be written in part.

    Attributes:
        urgent: Messages that go before the others, save one that is begun.
        ordinary: The others.
    """

    __slots__ = ("_begun", "_written", "ordinary", "urgent")

    def __init__(self) -> None:
        self.urgent = Lane()
        self.ordinary = Lane()
        # The lane whose first message is written in part.
        self._begun: Lane | None = None
        self._written = 0

    def __len__(self) -> int:
        return len(self.urgent.messages) + len(self.ordinary.messages)

    def __iter__(self) -> Iterator[list[bytes]]:
        num_begun = 0
        if self._begun is self.ordinary:
            num_begun = 1
            yield self.ordinary.messages[0]
        yield from self.urgent.messages
        yield from islice(self.ordinary.messages, num_begun, None)

    @property
    def cost(self) -> int:
        """What the messages count in a queue that is bounded by bytes."""
        return self.urgent.cost + self.ordinary.cost

    @property
    def is_amid_message(self) -> bool:
        """Whether nothing may be written before the rest of the first message."""
        return self._written > 0

    @property
    def num_droppable(self) -> int:
        """Ordinary messages that are not begun."""
        return len(self.ordinary.messages) - (self._begun is self.ordinary)

    def push(self, message: list[bytes], cost: int, *, urgent: bool = False) -> None:
        """Append a message that costs so much to its lane."""
        (self.urgent if urgent else self.ordinary).push(message, cost)

    def front(self) -> Lane | None:
        """Return the lane whose first message is next."""
        if self._begun is not None:
            return self._begun
        if self.urgent.messages:
            return self.urgent
        return self.ordinary if self.ordinary.messages else None

    def drop_oldest(self) -> bool:
        """Drop the oldest ordinary message that is not begun, if there is one."""
        if not self.num_droppable:
            return False
        index = len(self.ordinary.messages) - self.num_droppable
        self.ordinary.cost -= message_cost(self.ordinary.messages[index])
        del self.ordinary.messages[index]
        return True

    def absorb(self, other: "Outbox") -> None:
        """Put what another has not written to its end in front, in its order."""
        self.urgent.absorb(other.urgent)
        self.ordinary.absorb(other.ordinary)
        other.restart()

    def take_all(self) -> list[list[bytes]]:
        """Take all that is not written to its end."""
        messages = list(self)
        self.urgent.clear()
        self.ordinary.clear()
        self.restart()
        return messages

    def restart(self) -> None:
        """Write the message that is begun from its beginning."""
        self._begun = None
        self._written = 0

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
        for message in self:
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
        while (lane := self.front()) is not None:
            framed = framed_nbytes(lane.messages[0])
            if self._written < framed:
                break
            self._written -= framed
            self._begun = None
            done.add(lane.pop())
        self._begun = self.front() if self._written else None
