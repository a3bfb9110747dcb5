"""Which topics are prefixes of a message, and who holds them; no I/O."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from busduct._fallback._peer import Peer

__all__ = ["MAX_TOPIC_NBYTES", "PrefixLengths", "TopicTable"]

MAX_TOPIC_NBYTES: Final = 255


class PrefixLengths:
    """The lengths of the topics in use, so that a match looks up no others.

    A table of topics is looked up once for each length, at most 256 times a message:
    nothing that a peer subscribes to makes a match deeper, or a topic dearer than
    itself and one entry.
    """

    __slots__ = ("_counts", "_sorted")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sorted: list[int] = []

    def add(self, topic: bytes) -> None:
        """Note a topic that came into use."""
        self._counts[len(topic)] += 1
        if self._counts[len(topic)] == 1:
            self._sorted = sorted(self._counts)

    def remove(self, topic: bytes) -> None:
        """Note a topic that went out of use."""
        self._counts[len(topic)] -= 1
        if not self._counts[len(topic)]:
            del self._counts[len(topic)]
            self._sorted = sorted(self._counts)

    def prefixes(self, text: bytes) -> Iterator[bytes]:
        """Give the prefixes of a text that may be topics, shortest first."""
        for nbytes in self._sorted:
            if nbytes > len(text):
                return
            yield text[:nbytes]


class TopicTable:
    """The topics that peers subscribed to.

    Each peer holds its own topics in `Peer.topics`; the bytes are shared.

    Attributes:
        num_subscriptions: Topics held, each counted once for each holder.
    """

    def __init__(self) -> None:
        # One holder is the common case, and a set of one costs more than the topic.
        self._holders: dict[bytes, Peer | set[Peer]] = {}
        self._lengths = PrefixLengths()
        self.num_subscriptions = 0

    def add(self, topic: bytes, peer: Peer) -> bool:
        """Let a peer hold a topic that it does not; tell whether it is the first."""
        self.num_subscriptions += 1
        peer.topics.add(topic)
        holders = self._holders.get(topic)
        if holders is None:
            self._holders[topic] = peer
            self._lengths.add(topic)
            return True
        if isinstance(holders, set):
            holders.add(peer)
        else:
            self._holders[topic] = {holders, peer}
        return False

    def remove(self, topic: bytes, peer: Peer) -> bool:
        """Take a topic from a peer that holds it; tell whether it was the last."""
        self.num_subscriptions -= 1
        peer.topics.remove(topic)
        holders = self._holders[topic]
        if isinstance(holders, set) and len(holders) > 1:
            holders.remove(peer)
            return False
        del self._holders[topic]
        self._lengths.remove(topic)
        return True

    def match(self, text: bytes) -> list[Peer]:
        """Return the peers that hold a prefix of a text, each once."""
        found: dict[Peer, None] = {}
        for prefix in self._lengths.prefixes(text):
            holders = self._holders.get(prefix)
            if isinstance(holders, set):
                found.update(dict.fromkeys(holders))
            elif holders is not None:
                found[holders] = None
        return list(found)
