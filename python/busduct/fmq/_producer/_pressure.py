"""When a producer looks for what consumers said, though it never lets the loop run."""

__all__ = ["Pressure"]

# A message counts as one, and one more for each so many bytes.
_BYTES_THAT_COUNT = 16384
_READ_AT = 8
_GIVE_WAY_AT = 64


class Pressure:
    """What was put while no consumer had room.

    Whoever puts without ever giving way keeps the loop from reading acknowledgements:
    consumers would stand still until everything is full.

    Attributes:
        is_high: Whether the next who can should give way to the loop.
    """

    def __init__(self) -> None:
        self.is_high = False
        self._unread = 0
        self._not_given_way = 0

    def add(self, num_messages: int, nbytes: int) -> bool:
        """Note what was put; whether it is time to read what consumers said."""
        weight = num_messages + nbytes // _BYTES_THAT_COUNT
        self._not_given_way += weight
        self.is_high = self._not_given_way >= _GIVE_WAY_AT
        self._unread += weight
        if self._unread < _READ_AT:
            return False
        self._unread = 0
        return True

    def give_way(self) -> None:
        """Note that the loop is let run."""
        self.is_high = False
        self._not_given_way = 0
