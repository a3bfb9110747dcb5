"""What one producer has sent on one connection, and what it was told about it.

Both ends number the messages of a connection from 0, as docs/wire.md says in "FMQ".
"""

from collections import deque
from typing import TypeAlias

from busduct.fmq._wire import Ack, Adopted, Data, Nack, encode_control

__all__ = ["Origin", "ProducerLink", "Taken"]


class Origin:
    """A producer, over all of its connections.

    Attributes:
        producer_id: In hexadecimal.
        num_skipped: Ids that it said it had dropped.
        links: Its connections that are up, or of which messages wait to be taken.
    """

    __slots__ = ("links", "num_skipped", "producer_id")

    def __init__(self, producer_id: str) -> None:
        self.producer_id = producer_id
        self.num_skipped = 0
        self.links: list[ProducerLink] = []


class ProducerLink:
    """One connection of a producer.

    A message on it is held until it is taken, unsettled until the application is done
    with it or gives it back, and untold until the producer knows.

    Args:
        routing_id: Of the connection.
        origin: The producer.

    Attributes:
        held: What came and was not taken, oldest first, and its bytes.
        num_taken: How many were taken; it is the number of the first one held.
        num_untold: Settled messages that the producer does not know of.
        untold_nbytes: Of those.
        unsettled: Messages taken that the application is not done with, by number.
        others: Numbers of those that it is done with before an earlier one.
        superseded: Ids of messages that came again on another connection, and may be
            among those that are held or unsettled.
        num_adopted: All below that number are nobody else's.
        is_refused: What comes is dropped.
        is_over: Nothing more can be told.
    """

    __slots__ = (
        "_returned",
        "_told",
        "held",
        "is_over",
        "is_refused",
        "num_adopted",
        "num_taken",
        "num_untold",
        "origin",
        "others",
        "routing_id",
        "superseded",
        "unsettled",
        "untold_nbytes",
    )

    def __init__(self, routing_id: bytes, origin: Origin) -> None:
        self.routing_id = routing_id
        self.origin = origin
        self.held: deque[tuple[Data, int]] = deque()
        self.num_adopted = 0
        self.num_taken = 0
        self.num_untold = 0
        self.untold_nbytes = 0
        self.superseded: set[int] = set()
        self.is_refused = False
        self.is_over = False
        # Ascending, as messages are taken in order.
        self.unsettled: dict[int, tuple[Data, int]] = {}
        self.others: list[int] = []
        self._returned: list[int] = []
        self._told = 0

    @property
    def is_lost(self) -> bool:
        """Whether its producer may be gone, and nobody else have what it brought."""
        return self.is_over and not self.is_refused

    @property
    def num_unsettled(self) -> int:
        """Messages taken that the application is not done with."""
        return len(self.unsettled)

    def keep_unsettled(self, number: int, data: Data, nbytes: int) -> None:
        """Note that the message taken last is not done with."""
        self.unsettled[number] = data, nbytes

    def settle_taken(self, number: int, nbytes: int) -> None:
        """Note that the message taken last is done with."""
        self.num_untold += 1
        self.untold_nbytes += nbytes
        if self.unsettled:
            self.others.append(number)

    def settle(self, number: int) -> bool:
        """Note that the application is done with an earlier one.

        Returns:
            False if it was already, or had given it back.
        """
        found = self.unsettled.pop(number, None)
        if found is None:
            return False
        self.settle_taken(number, found[1])
        return True

    def give_back(self, number: int) -> tuple[Data, int] | None:
        """Note that the application gives an earlier one back.

        Returns:
            What it was; None if it had been given back already, or was done with.
        """
        found = self.unsettled.pop(number, None)
        if found is not None:
            self._returned.append(number)
        return found

    def next_news(self) -> bytes | None:
        """Return what the producer is to be told next; None if it knows all."""
        if self._returned:
            # NB: before the acknowledgement, which may cover their numbers.
            return encode_control(Nack(tuple(self._returned)))
        upto = self._upto
        others = tuple(number for number in self.others if number >= upto)
        if upto > self._told or others:
            return encode_control(Ack(upto, others))
        return None

    def note_told(self) -> None:
        """Note that `next_news` was sent, and nothing done in between."""
        if self._returned:
            self._returned.clear()
            return
        self._told = self._upto
        self.others.clear()
        self.num_untold = 0
        self.untold_nbytes = 0

    @property
    def _upto(self) -> int:
        return next(iter(self.unsettled), self.num_taken)

    def adopt(self) -> Adopted:
        """Own all that came by now."""
        self.num_adopted = self.num_taken + len(self.held)
        return Adopted(self.num_adopted)

    def is_own(self, number: int) -> bool:
        """Whether nobody else will deliver a message."""
        return self.is_lost or number < self.num_adopted

    def orphans(self) -> list["Taken"]:
        """Return what is unsettled or held, and nobody else's, oldest first."""
        unfinished = (*self.unsettled.items(), *enumerate(self.held, self.num_taken))
        return [
            (self, number, data, nbytes)
            for number, (data, nbytes) in unfinished
            if self.is_own(number) and data.msg_id not in self.superseded
        ]


# What a message came by, its number there, what it is, and how many bytes.
Taken: TypeAlias = tuple[ProducerLink, int, Data, int]
