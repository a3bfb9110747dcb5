"""How many messages of the queue each message of a socket was. No I/O."""

from collections import deque

__all__ = ["Sent"]


class Sent:
    """What was sent over one connection, beside messages that went alone.

    Attributes:
        has_goodbyes: Whether a goodbye was sent.
    """

    def __init__(self) -> None:
        self.has_goodbyes = False
        # The number of the first message of each, and how many; none of a goodbye.
        self._others: deque[tuple[int, int]] = deque()

    def note_run(self, number: int, count: int) -> None:
        """Be told that so many messages go out together, from a number on."""
        self._others.append((number, count))

    def note_goodbye(self, number: int) -> None:
        """Be told that a goodbye goes out before the message of a number."""
        self.has_goodbyes = True
        self._others.append((number, 0))

    def note_arrived(self, upto: int) -> None:
        """Be told that the consumer has had all below a number."""
        others = self._others
        while others:
            number, count = others[0]
            # NB: whether a goodbye has arrived nobody says.
            if not count or number + count > upto:
                break
            others.popleft()

    def num_messages(self, num_last: int, end: int) -> int:
        """Return how many messages the last ones of the socket were.

        Args:
            num_last: Of the socket. Where they are more than are known here, and not
                done with, each of those counts as one.
            end: The number of the next message.
        """
        begin = end
        for number, count in reversed(self._others):
            num_alone = begin - number - count
            if num_last <= num_alone:
                break
            begin = number
            num_last -= num_alone + 1
        return end - begin + num_last
