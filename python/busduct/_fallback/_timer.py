"""A call that is due at a time."""

from collections.abc import Callable

__all__ = ["Timer"]


class Timer:
    """A call that is due at a time, unless it is cancelled."""

    __slots__ = ("_forget", "call", "due")

    def __init__(
        self, forget: Callable[[], None], due: float, call: Callable[[], None]
    ) -> None:
        """Make the call due; `forget` is told if it is cancelled."""
        self._forget = forget
        self.due = due
        self.call: Callable[[], None] | None = call

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due

    def cancel(self) -> None:
        """Do not make the call. Idempotent."""
        if self.call is not None:
            self.call = None
            self._forget()
