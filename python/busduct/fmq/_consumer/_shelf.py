"""Messages that have come and wait to be taken, each producer's in its turn."""

from collections import deque
from collections.abc import Sequence

from busduct.fmq._consumer._producer_link import ProducerLink, Taken
from busduct.fmq._wire import Data

__all__ = ["Shelf"]


class Shelf:
    """What connections brought.

    Attributes:
        num_held: Messages.
        held_nbytes: Of those.
    """

    def __init__(self) -> None:
        self.num_held = 0
        self.held_nbytes = 0
        self._ready: deque[ProducerLink] = deque()

    def exceeds(self, num_messages: int, nbytes: int) -> bool:
        """Whether more is held than so many messages, or bytes of them."""
        return self.num_held > num_messages or self.held_nbytes > nbytes

    def put(self, link: ProducerLink, messages: Sequence[tuple[Data, int]]) -> None:
        """Hold messages, each with its bytes; at least one."""
        if not link.held:
            self._ready.append(link)
        link.held.extend(messages)
        self.num_held += len(messages)
        for _, nbytes in messages:
            self.held_nbytes += nbytes

    def take(self) -> Taken | None:
        """Take the next message; each connection that has some gets its turn."""
        ready = self._ready
        if not ready:
            return None
        link = ready[0]
        held = link.held
        number = link.num_taken
        link.num_taken = number + 1
        data, nbytes = held.popleft()
        self.num_held -= 1
        self.held_nbytes -= nbytes
        self._end_turn(held)
        return link, number, data, nbytes

    @property
    def num_links(self) -> int:
        """Connections that have something here."""
        return len(self._ready)

    @property
    def next_link(self) -> ProducerLink | None:
        """The connection whose turn it is; None if nothing is held."""
        return self._ready[0] if self._ready else None

    def take_first(self, count: int) -> int:
        """Take so many messages of the next connection; return their bytes."""
        link = self._ready[0]
        held = link.held
        nbytes = sum([held.popleft()[1] for _ in range(count)])
        link.num_taken += count
        self.num_held -= count
        self.held_nbytes -= nbytes
        self._end_turn(held)
        return nbytes

    def drop(self, link: ProducerLink) -> None:
        """Drop what a connection brought and was not taken."""
        if link.held:
            self._ready.remove(link)
            self.num_held -= len(link.held)
            self.held_nbytes -= sum(nbytes for _, nbytes in link.held)
            link.held.clear()

    def links(self) -> list[ProducerLink]:
        """Return the connections that have something here."""
        return list(self._ready)

    def _end_turn(self, held: deque[tuple[Data, int]]) -> None:
        if not held:
            self._ready.popleft()
        elif len(self._ready) > 1:
            self._ready.rotate(-1)
