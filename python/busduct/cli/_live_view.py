"""What changes in a terminal while something runs, and lines in a log instead."""

import sys
from types import TracebackType
from typing import Generic, Self, TypeVar

from rich.live import Live
from rich.progress import Progress

__all__ = ["LiveView", "write_line"]

LiveT = TypeVar("LiveT", Live, Progress)


class LiveView(Generic[LiveT]):
    """Shows progress on standard error for as long as the block lasts.

    Args:
        live: What changes, and is taken away at the end; None where standard error is
            no terminal.
    """

    def __init__(self, live: LiveT | None) -> None:
        self._live: LiveT | None = live

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and take away what changes."""
        if self._live is not None:
            self._live.stop()


def write_line(line: str) -> None:
    """Write a line of a log to standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
