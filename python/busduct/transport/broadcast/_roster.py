"""Which readers of a broadcast queue have joined, which are lost; no I/O."""

from busduct.errors import RemoteProtocolError
from busduct.transport.broadcast._wire import (
    Announcement,
    confirmation_of,
    decode_announcement,
    encode_refusal,
    encode_welcome,
)

__all__ = ["Roster"]

_SUBSCRIBED = b"\1"


class Roster:
    """The readers of one queue, told by the notices of its XPUB socket.

    Until all have joined, a rank whose reader goes is free for another. From then on
    nobody joins any more: what was sent meanwhile would be missing.

    Readers that leave their rank to the writer get those that are left once the others
    are there.

    Args:
        num_readers: How many there shall be.
        token: Of the queue.

    Attributes:
        lost: Ranks of readers that went after all had joined, in that order.
        is_complete: All have joined, whoever is lost since.
        num_refused: Readers that were turned away.
    """

    def __init__(self, num_readers: int, token: bytes) -> None:
        self.lost: list[int] = []
        self.is_complete = False
        self.num_refused = 0
        self._num_readers = num_readers
        self._token = token
        # By name: those that are welcome; of them those that take items; those that
        # are to be given a rank, in the order in which they came.
        self._ranks: dict[bytes, int] = {}
        self._joined: set[bytes] = set()
        self._unranked: dict[bytes, None] = {}

    @property
    def present(self) -> list[int]:
        """The ranks that have joined and are there, in their order."""
        return sorted(self._ranks[name] for name in self._joined)

    @property
    def missing(self) -> list[int]:
        """The ranks that have not joined yet, in their order."""
        if self.is_complete:
            return []
        return sorted(set(range(self._num_readers)).difference(self.present))

    def rank_of(self, name: bytes) -> int | None:
        """Return whose name it is; None if it is nobody's."""
        return self._ranks.get(name)

    def note(self, notice: bytes) -> list[list[bytes]]:
        """Note a subscription, or its end; return what is to be sent in answer."""
        topic = notice[1:]
        if notice[:1] != _SUBSCRIBED:
            self._note_end(topic)
            return []
        try:
            announcement = decode_announcement(topic)
        except RemoteProtocolError as error:
            return self._refuse(topic, str(error))
        if announcement is None:
            return []
        if announcement.is_confirmation:
            self._confirm(topic)
            return []
        reason = self._objection(announcement)
        if reason is not None:
            return self._refuse(topic, reason)
        return self._admit(topic, announcement.rank)

    def _objection(self, announcement: Announcement) -> str | None:
        """Return why such a reader cannot join, if it cannot."""
        rank, num_readers = announcement.rank, self._num_readers
        if announcement.token != self._token:
            return "handle of another queue"
        if self.is_complete:
            return "all readers have joined already"
        if rank is not None and rank >= num_readers:
            return f"rank is {rank}; the queue has {num_readers} readers"
        if rank is not None and rank in self._ranks.values():
            return f"rank {rank} has joined already"
        return None if self._num_free else f"there are {num_readers} readers already"

    @property
    def _num_free(self) -> int:
        return self._num_readers - len(self._ranks) - len(self._unranked)

    def _admit(self, name: bytes, rank: int | None) -> list[list[bytes]]:
        answers = []
        if rank is None:
            self._unranked[name] = None
        else:
            self._ranks[name] = rank
            answers.append(encode_welcome(name, rank))
        if not self._num_free:
            answers += self._rank_others()
        return answers

    def _rank_others(self) -> list[list[bytes]]:
        taken = set(self._ranks.values())
        free = [rank for rank in range(self._num_readers) if rank not in taken]
        others = dict(zip(self._unranked, free, strict=True))
        self._unranked.clear()
        self._ranks.update(others)
        return [encode_welcome(name, rank) for name, rank in others.items()]

    def _confirm(self, topic: bytes) -> None:
        name = next((n for n in self._ranks if confirmation_of(n) == topic), None)
        if name is not None:
            self._joined.add(name)
            self.is_complete |= len(self._joined) == self._num_readers

    def _refuse(self, name: bytes, reason: str) -> list[list[bytes]]:
        self.num_refused += 1
        return [encode_refusal(name, reason)]

    def _note_end(self, name: bytes) -> None:
        self._unranked.pop(name, None)
        rank = self._ranks.pop(name, None)
        if rank is None:
            return
        self._joined.discard(name)
        if self.is_complete:
            self.lost.append(rank)
