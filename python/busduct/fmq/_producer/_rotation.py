"""Which consumer gets the next message. No I/O."""

from busduct.fmq._producer._share import Share

__all__ = ["Rotation"]


class Rotation:
    """The consumers of a producer.

    Args:
        max_message_bytes: Of the producer's messages.

    Attributes:
        shares: Of all of them.
        candidates: Of those with room.
        least_bytes: Of a message that all of them take.
        most_bytes: Of a message that one of them takes; 0 where there are none.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self.shares: list[Share] = []
        self.candidates: list[Share] = []
        self.least_bytes = max_message_bytes
        self.most_bytes = 0
        self._max_message_bytes = max_message_bytes
        self._has_windows = True
        self._num_turns = 0
        # Who was chosen last, and how often it is to be again.
        self._chosen: Share | None = None
        self._num_left = 0

    @property
    def nbytes(self) -> int:
        """Bytes that consumers were given and have not acknowledged."""
        return sum(share.nbytes for share in self.shares)

    def add(self, share: Share) -> None:
        """Begin to choose it."""
        if not self._has_windows:
            share.ignore_window()
        self.shares.append(share)
        self._note_limits()
        self.note_room(share)

    def suspend(self, share: Share) -> None:
        """Choose it no more."""
        share.suspend()
        self._chosen = None
        if share in self.candidates:
            self.candidates.remove(share)

    def remove(self, share: Share) -> None:
        """Forget it."""
        self.suspend(share)
        self.shares.remove(share)
        self._note_limits()

    def note_room(self, share: Share) -> bool:
        """Be told that it may have room again; whether it has."""
        has_room = share.has_room
        if has_room and share not in self.candidates:
            self.candidates.append(share)
        return has_room

    def ignore_windows(self) -> None:
        """Have room in all that are not suspended, from here on."""
        self._has_windows = False
        for share in self.shares:
            share.ignore_window()
            self.note_room(share)

    def choose(self) -> Share:
        """Return the one with the fewest messages; of equals, who waited longest.

        It is chosen again for an eighth as many more, so that where consumers have many
        some go out together. There must be candidates.
        """
        best = self._chosen
        if self._num_left and best is not None and best.is_open:
            self._num_left -= 1
            return best
        best = self.candidates[0]
        fewest = len(best.entries)
        for share in self.candidates:
            num_entries = len(share.entries)
            if num_entries < fewest or (
                num_entries == fewest and share.turn < best.turn
            ):
                best, fewest = share, num_entries
        self._num_turns += 1
        best.turn = self._num_turns
        self._chosen = best
        self._num_left = fewest // 8
        return best

    def choose_for(self, nbytes: int) -> Share | None:
        """Return as `choose` one that takes so large a message; None if none does."""
        takers = [each for each in self.candidates if each.max_message_bytes >= nbytes]
        if not takers:
            return None
        best = min(takers, key=lambda share: (len(share.entries), share.turn))
        self._num_turns += 1
        best.turn = self._num_turns
        return best

    def _note_limits(self) -> None:
        limits = [share.max_message_bytes for share in self.shares]
        self.least_bytes = min((self._max_message_bytes, *limits))
        self.most_bytes = max(limits, default=0)
