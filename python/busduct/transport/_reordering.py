"""Put what comes live and what is replayed into one order, each record once.

Pure: batches in, items out. The rules are in docs/typed_pub_sub.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from busduct.errors import RemoteProtocolError
from busduct.transport._records import Batch
from busduct.transport._replay_ring import RECORD_OVERHEAD
from busduct.transport._sync_messages import ALL_RECORDS, Begin

__all__ = ["Gap", "Item", "Record", "Reordering", "Restart"]


@dataclass(frozen=True, slots=True)
class Record:
    """One message, not yet decoded."""

    topic: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that cannot be had any more."""

    topic: bytes
    first_missing: int
    num_missing: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The publisher has begun another life."""

    epoch: int


Item: TypeAlias = Record | Gap | Restart


@dataclass(slots=True)
class _Topic:
    """One topic.

    Attributes:
        name: Of it.
        next: The number wanted next; None until the publisher says where to begin.
        covered_from: Where the replay under way begins.
        held: Records that came before those that precede them.
    """

    name: bytes
    next: int | None
    covered_from: int = ALL_RECORDS
    held: dict[int, bytes] = field(default_factory=dict)


class Reordering:
    """The state of all topics of one subscriber.

    Args:
        num_replayed: How many of the last records of a topic are wanted at first;
            `ALL_RECORDS` for all that there ever were.
        max_held: Records held while those before them are missing.
        max_held_bytes: Bytes of those, 96 for each included.
        max_topics: Topics known at once.
    """

    def __init__(
        self, num_replayed: int, max_held: int, max_held_bytes: int, max_topics: int
    ) -> None:
        self.epoch = 0
        self.num_duplicates = 0
        self.num_held = 0
        self._num_held_bytes = 0
        self._num_replayed = num_replayed
        self._max_held = max_held
        self._max_held_bytes = max_held_bytes
        self._max_topics = max_topics
        self._topics: dict[bytes, _Topic] = {}
        self._is_known: dict[bytes, bool] = {}
        self._has_given_up = False
        self._has_overflowed = False

    @property
    def needs_sync(self) -> bool:
        """Whether records are missing that the publisher may still hold."""
        return self.num_held > 0 or self._has_overflowed

    @property
    def num_topics(self) -> int:
        """Topics known."""
        return len(self._topics)

    def add_prefix(self, prefix: bytes) -> None:
        """Have topics that begin so; what they had before is asked of the publisher."""
        self._is_known.setdefault(prefix, False)

    def remove_prefix(self, prefix: bytes) -> None:
        """Forget the topics that begin so and match no other prefix."""
        del self._is_known[prefix]
        for topic in [t for t in self._topics if not self._matches(t)]:
            self._forget_held(self._topics.pop(topic))

    def prefixes(self) -> Iterator[tuple[bytes, int]]:
        """Give what a request says of the prefixes."""
        for prefix, is_known in self._is_known.items():
            yield prefix, ALL_RECORDS if is_known else self._num_replayed

    def positions(self) -> Iterator[tuple[bytes, int]]:
        """Give what a request says of the topics."""
        for topic in self._topics.values():
            if topic.next is not None:
                yield topic.name, topic.next

    def live(self, batch: Batch) -> list[Item]:
        """Take a batch of the live stream.

        Raises:
            RemoteProtocolError: It is of one topic too many, or of none subscribed to.
        """
        if batch.topic not in self._topics and not self._matches(batch.topic):
            msg = f"records of topic {batch.topic!r}, which is not subscribed to"
            raise RemoteProtocolError(msg)
        items = self.see_epoch(batch.epoch)
        topic = self._topics.get(batch.topic) or self._first_seen(batch)
        for number, payload in enumerate(batch.payloads, batch.first):
            self._offer(topic, number, payload, items)
        return items

    def see_epoch(self, epoch: int) -> list[Item]:
        """Note the publisher's epoch; another one ends all that was waited for."""
        if epoch == self.epoch:
            return []
        is_first = self.epoch == 0
        items = [] if is_first else [*self.give_up(), Restart(epoch)]
        self._has_given_up = False
        if not is_first:
            self._topics.clear()
        self.epoch = epoch
        return items

    def begin(self, begin: Begin) -> list[Item]:
        """Take the first answer to a request; that of another epoch is passed over.

        Raises:
            RemoteProtocolError: It names too many topics.
        """
        items: list[Item] = []
        if begin.epoch != self.epoch:
            return items
        if len(begin.topics) > self._max_topics:
            raise self._too_many()
        # From here on: what does not fit now is not among what is replayed.
        self._has_overflowed = False
        for name, start, _ in begin.topics:
            if not self._matches(name):
                continue
            topic = self._topics.get(name) or self._add(name, None)
            topic.covered_from = start
            if topic.next is None:
                topic.next = min([start, *topic.held])
                self._release(topic, items)
        return items

    def replayed(self, batch: Batch) -> list[Item]:
        """Take a batch of the answers.

        Of another epoch, or of a topic not announced, it is passed over: both happen
        when the publisher restarts, or a prefix is given up, amid the answers.
        """
        items: list[Item] = []
        topic = self._topics.get(batch.topic)
        if topic is None or topic.next is None or batch.epoch != self.epoch:
            return items
        if topic.covered_from <= topic.next:
            self._advance(topic, batch.first, items)
        for number, payload in enumerate(batch.payloads, batch.first):
            self._offer(topic, number, payload, items)
        return items

    def end(self, begin: Begin, prefixes: Iterable[bytes]) -> list[Item]:
        """Take the last answer: what is missing before the heads is gone.

        Args:
            begin: The first answer.
            prefixes: Those of the request.
        """
        items: list[Item] = []
        if begin.epoch != self.epoch:
            return items
        self._has_given_up = False
        for name, _, head in begin.topics:
            topic = self._topics.get(name)
            if topic is None or topic.next is None:
                continue
            if topic.covered_from <= topic.next:
                self._advance(topic, head, items)
            topic.covered_from = ALL_RECORDS
        for prefix in prefixes:
            if prefix in self._is_known:
                self._is_known[prefix] = True
        return items

    def give_up(self) -> list[Item]:
        """Go on without what is missing: no answer came in time."""
        items: list[Item] = []
        for topic in self._topics.values():
            if topic.held:
                if topic.next is None:
                    topic.next = self._begins_at(min(topic.held))
                self._advance(topic, max(topic.held) + 1, items)
        self._has_overflowed = False
        self._has_given_up = True
        return items

    def _first_seen(self, batch: Batch) -> _Topic:
        # A topic of a prefix known to the publisher has been followed from its start.
        known = self._matches(batch.topic, only_known=True)
        if known:
            return self._add(batch.topic, 0)
        waits = self._num_replayed > 0 and not self._has_given_up
        return self._add(batch.topic, None if waits else self._begins_at(batch.first))

    def _begins_at(self, first: int) -> int:
        """Return where to begin, without an answer, if `first` is the first to come."""
        return 0 if self._num_replayed == ALL_RECORDS else first

    def _add(self, name: bytes, start: int | None) -> _Topic:
        if len(self._topics) >= self._max_topics:
            raise self._too_many()
        topic = self._topics[name] = _Topic(name, start)
        return topic

    def _too_many(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"records of more than {self._max_topics} topics")

    def _matches(self, topic: bytes, *, only_known: bool = False) -> bool:
        return any(
            topic.startswith(prefix)
            for prefix, is_known in self._is_known.items()
            if is_known or not only_known
        )

    def _offer(
        self, topic: _Topic, number: int, payload: bytes, items: list[Item]
    ) -> None:
        if topic.next is None or number > topic.next:
            self._hold(topic, number, payload)
        elif number < topic.next:
            self.num_duplicates += 1
        else:
            topic.next = number + 1
            items.append(Record(topic.name, payload))
            if topic.held:
                self._release(topic, items)

    def _hold(self, topic: _Topic, number: int, payload: bytes) -> None:
        if number in topic.held:
            self.num_duplicates += 1
            return
        nbytes = self._num_held_bytes + len(payload) + RECORD_OVERHEAD
        if self.num_held >= self._max_held or nbytes > self._max_held_bytes:
            # Not lost: it is asked for again behind those that are held.
            self._has_overflowed = True
            return
        topic.held[number] = payload
        self.num_held += 1
        self._num_held_bytes = nbytes

    def _release(self, topic: _Topic, items: list[Item]) -> None:
        """Give the held records that follow without a gap."""
        assert topic.next is not None
        while (payload := topic.held.pop(topic.next, None)) is not None:
            self._forget(payload)
            items.append(Record(topic.name, payload))
            topic.next += 1

    def _advance(self, topic: _Topic, stop: int, items: list[Item]) -> None:
        """Give all that is held before `stop`, and a gap for what is not."""
        assert topic.next is not None
        for number in [*sorted(n for n in topic.held if n < stop), stop]:
            if number > topic.next:
                items.append(Gap(topic.name, topic.next, number - topic.next))
                topic.next = number
            self._release(topic, items)

    def _forget(self, payload: bytes) -> None:
        self.num_held -= 1
        self._num_held_bytes -= len(payload) + RECORD_OVERHEAD

    def _forget_held(self, topic: _Topic) -> None:
        for payload in topic.held.values():
            self._forget(payload)
