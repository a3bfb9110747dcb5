"""What one consumer was given over one connection and has not acknowledged. No I/O."""

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from busduct.errors import RemoteProtocolError
from busduct.fmq._wire import Ack, Adopted, Encoded, Nack

__all__ = ["Entry", "Share"]


class Entry(msgspec.Struct, eq=False, gc=False):
    """A message that is held until a consumer acknowledges it.

    Attributes:
        msg_id: By which it is told from the producer's others; they count up.
        encoded: The payload.
        timestamp: Seconds since the epoch at which it was put.
        num_deliveries: How often it was given to a consumer.
        is_unwanted: Whether it was found too large for every consumer.
    """

    msg_id: int
    encoded: Encoded
    timestamp: float
    num_deliveries: int = 0
    is_unwanted: bool = False


class Share:
    """The messages of one consumer, by their numbers on its connection.

    Args:
        window_messages: Messages that it takes ahead of its acknowledgements.
        window_bytes: Bytes at which it takes no further one.
        max_message_bytes: Bytes of a message that it takes at most.
        send: Sends messages that it was given, all and in order, over the connection;
            the second argument is as of `flush`.

    Attributes:
        entries: Messages not acknowledged, by number.
        is_open: Whether there was room for another one when it was given the last.
        max_message_bytes: As given.
        nbytes: Of those.
        num_given: Messages that it was ever given, so the number of the next one.
        outbox: Given and not yet sent.
        send: As given.
        turn: When it was last chosen among equals.
    """

    __slots__ = (
        "_upto",
        "_window_bytes",
        "_window_messages",
        "entries",
        "is_open",
        "max_message_bytes",
        "nbytes",
        "num_given",
        "outbox",
        "send",
        "turn",
    )

    def __init__(
        self,
        window_messages: int,
        window_bytes: int,
        max_message_bytes: int,
        send: Callable[[Sequence[Entry], int], None],
    ) -> None:
        self.entries: dict[int, Entry] = {}
        self.is_open = True
        self.nbytes = 0
        self.max_message_bytes = max_message_bytes
        self.num_given = 0
        self.outbox: list[Entry] = []
        self.turn = 0
        self.send = send
        self._window_messages: float = window_messages
        self._window_bytes: float = window_bytes
        # All numbers below it are done.
        self._upto = 0

    @property
    def has_room(self) -> bool:
        """Whether it may be given one more."""
        return (
            len(self.entries) < self._window_messages
            and self.nbytes < self._window_bytes
        )

    def suspend(self) -> None:
        """Have no room from here on."""
        self._window_messages = self._window_bytes = 0

    def ignore_window(self) -> None:
        """Have room without end, unless it is suspended."""
        if self._window_messages:
            self._window_messages = self._window_bytes = math.inf

    def give(self, entry: Entry) -> bool:
        """Add a message; whether it has room for one more."""
        entries = self.entries
        number = self.num_given
        self.num_given = number + 1
        entries[number] = entry
        self.nbytes += entry.encoded.nbytes
        self.is_open = is_open = (
            len(entries) < self._window_messages and self.nbytes < self._window_bytes
        )
        return is_open

    def flush(self, num_skipped: int) -> None:
        """Send what is in the outbox, telling how many messages nobody gets."""
        if self.outbox:
            outbox, self.outbox = self.outbox, []
            self.send(outbox, num_skipped)

    def acknowledge(self, ack: Ack) -> tuple[int, int]:
        """Let go of what the consumer is done with; twice is as good as once.

        Returns:
            The messages that it let go of, and their bytes.

        Raises:
            RemoteProtocolError: So many were never sent.
        """
        upto, others = ack
        self._require_given(upto, others)
        entries = self.entries
        num_before, nbytes = len(entries), 0
        for number in (*range(self._upto, upto), *others):
            if (entry := entries.pop(number, None)) is not None:
                nbytes += entry.encoded.nbytes
        self._upto = max(self._upto, upto)
        self.nbytes -= nbytes
        return num_before - len(entries), nbytes

    def give_up(self, adopted: Adopted) -> list[Entry]:
        """Return what is the consumer's from now on, and forget it.

        Raises:
            RemoteProtocolError: So many were never sent.
        """
        self._require_given(adopted.upto, ())
        return self._pop(n for n in tuple(self.entries) if n < adopted.upto)

    def give_back(self, nack: Nack) -> list[Entry]:
        """Return what the consumer does not want, and forget it.

        Raises:
            RemoteProtocolError: So many were never sent.
        """
        self._require_given(0, nack.numbers)
        return self._pop(nack.numbers)

    def forget(self, number: int) -> Entry:
        """Return a message that cannot be sent, and forget it."""
        entry = self.entries.pop(number)
        self.nbytes -= entry.encoded.nbytes
        return entry

    def keep_last(self, num_messages: int) -> None:
        """Forget all but the last messages that it was given."""
        entries = list(self.entries.items())
        self.entries = dict(entries[max(len(entries) - num_messages, 0) :])
        self.nbytes = sum(each.encoded.nbytes for each in self.entries.values())

    def clear(self) -> list[Entry]:
        """Return all that is not acknowledged, and forget it."""
        entries = list(self.entries.values())
        self.entries = {}
        self.nbytes = 0
        self.outbox = []
        return entries

    def _pop(self, numbers: Iterable[int]) -> list[Entry]:
        found = (self.entries.pop(number, None) for number in numbers)
        popped = [entry for entry in found if entry is not None]
        self.nbytes -= sum(entry.encoded.nbytes for entry in popped)
        return popped

    def _require_given(self, upto: int, numbers: Sequence[int]) -> None:
        largest = max(upto - 1, *numbers) if numbers else upto - 1
        num_sent = self.num_given - len(self.outbox)
        if largest >= num_sent:
            msg = f"answers message {largest} of {num_sent} on its connection"
            raise RemoteProtocolError(msg)
