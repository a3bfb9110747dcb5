"""Which consumer gets the next message. No I/O."""

from busduct.fmq._producer._share import Share

__all__ = ["Rotation"]


class Rotation:
    """The consumers of a producer.

    Attributes:
        shares: Of all of them.
        candidates: Of those with room.
    """

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.candidates: list[Share] = []
        self._has_windows = True
        self._num_turns = 0

    @property
    def nbytes(self) -> int:
        """Bytes that consumers were given and have not acknowledged."""
        return sum(share.nbytes for share in self.shares)

    def add(self, share: Share) -> None:
        """Begin to choose it."""
        if not self._has_windows:
            share.ignore_window()
        self.shares.append(share)
        self.note_room(share)

    def suspend(self, share: Share) -> None:
        """Choose it no more."""
        share.suspend()
        if share in self.candidates:
            self.candidates.remove(share)

    def remove(self, share: Share) -> None:
        """Forget it."""
        self.suspend(share)
        self.shares.remove(share)

    def note_room(self, share: Share) -> None:
        """Be told that it may have room again."""
        if share.has_room and share not in self.candidates:
            self.candidates.append(share)

    def ignore_windows(self) -> None:
        """Have room in all that are not suspended, from here on."""
        self._has_windows = False
        for share in self.shares:
            share.ignore_window()
            self.note_room(share)

    def choose(self) -> Share:
        """Return the one with the fewest messages; of equals, who waited longest.

        There must be candidates.
        """
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
        return best
