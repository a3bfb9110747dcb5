"""What a publisher numbered, and the last of it, bounded by records and bytes."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from busduct.errors import FullError
from busduct.transport._records import Batch

__all__ = ["RECORD_OVERHEAD", "ReplayRing"]

# What a record costs beside its payload, as the sockets count it.
RECORD_OVERHEAD = 96


@dataclass(slots=True)
class _Topic:
    """One topic: the number that its next record gets, and the payloads held."""

    name: bytes
    head: int = 0
    payloads: deque[bytes] = field(default_factory=deque)

    @property
    def first_held(self) -> int:
        return self.head - len(self.payloads)


class ReplayRing:
    """Number the records of each topic from 0, and hold the last ones of all.

    When the bounds are reached, the oldest records go, whatever their topic.

    Args:
        epoch: Of the publisher.
        max_records: Held at most; 0 to hold none.
        max_bytes: Of payloads, and 96 for each, held at most.
        max_topics: Numbered at most; none is ever forgotten.
    """

    def __init__(
        self, epoch: int, max_records: int, max_bytes: int, max_topics: int
    ) -> None:
        self.epoch = epoch
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._max_topics = max_topics
        self._topics: dict[bytes, _Topic] = {}
        self._order: deque[_Topic] = deque()
        self._nbytes = 0

    @property
    def num_topics(self) -> int:
        """Topics that have had a record."""
        return len(self._topics)

    @property
    def num_records(self) -> int:
        """Records held."""
        return len(self._order)

    @property
    def nbytes(self) -> int:
        """Bytes of those, 96 for each included."""
        return self._nbytes

    def append(self, topic: bytes, payload: bytes) -> int:
        """Hold a record; return its sequence number.

        Raises:
            FullError: It would be of one topic more than `max_topics`.
        """
        entry = self._topics.get(topic)
        if entry is None:
            if len(self._topics) >= self._max_topics:
                raise FullError(f"{self._max_topics} topics")
            entry = self._topics[topic] = _Topic(topic)
        sequence = entry.head
        entry.head += 1
        entry.payloads.append(payload)
        self._order.append(entry)
        self._nbytes += len(payload) + RECORD_OVERHEAD
        while self._order and (
            len(self._order) > self._max_records or self._nbytes > self._max_bytes
        ):
            self._evict()
        return sequence

    def head_of(self, topic: bytes) -> int:
        """Return the number that the next record of a topic gets."""
        return self._topics[topic].head

    def heads(self) -> Iterator[tuple[bytes, int, int]]:
        """Give each topic, the number of its first record held, and of its next one."""
        for entry in self._topics.values():
            yield entry.name, entry.first_held, entry.head

    def batch_from(
        self, topic: bytes, start: int, stop: int, max_records: int, max_bytes: int
    ) -> Batch | None:
        """Return the records from `start` on that are held, or None.

        Args:
            topic: Of the records.
            start: The first number wanted; the batch begins later if it is not held.
            stop: The number behind the last one wanted.
            max_records: Records at most.
            max_bytes: Payload bytes after which none is added.
        """
        entry = self._topics[topic]
        first = max(start, entry.first_held)
        skip = first - entry.first_held
        count = min(max_records, min(stop, entry.head) - first)
        payloads: list[bytes] = []
        nbytes = 0
        for payload in islice(entry.payloads, skip, skip + max(count, 0)):
            if payloads and nbytes + len(payload) > max_bytes:
                break
            payloads.append(payload)
            nbytes += len(payload)
        return Batch(topic, self.epoch, first, payloads) if payloads else None

    def _evict(self) -> None:
        payload = self._order.popleft().payloads.popleft()
        self._nbytes -= len(payload) + RECORD_OVERHEAD
