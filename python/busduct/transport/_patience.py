"""How long to wait for an answer, and when to stop hoping for one."""

__all__ = ["Patience"]

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0


class Patience:
    """The attempts at one answer; each waits twice as long as the one before it.

    Args:
        give_up_after: Seconds from the first attempt.

    Attributes:
        seconds: What the next attempt waits.
    """

    def __init__(self, give_up_after: float) -> None:
        self.seconds = FIRST_SECONDS
        self._give_up_after = give_up_after
        self._since: float | None = None

    def begin(self, now: float) -> None:
        """Note that an attempt is made."""
        if self._since is None:
            self._since = now

    def succeed(self) -> None:
        """Note an answer: the next attempt is a first one."""
        self.seconds = FIRST_SECONDS
        self._since = None

    def excuse(self) -> None:
        """Note that the last attempt could not succeed, through nobody's silence."""
        self._since = None

    def fail(self, now: float) -> bool:
        """Note that an attempt had no answer; tell whether it is time to give up."""
        self.seconds = min(self.seconds * 2, MOST_SECONDS)
        return self._since is not None and now >= self._since + self._give_up_after
