"""Tasks that want the next of the same messages: first come, first served."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["WaitingLine"]

T = TypeVar("T")


class WaitingLine:
    """Who is to take next, and who after that.

    Whoever stands first waits for a message and takes it; the others wait for their
    turn. Each leaves as soon as it is done.

    Attributes:
        places: One for each that is in line; whoever comes while there are any is to
            `join`, else may take at once, or `begin` a line if it has to wait.
    """

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: deque[asyncio.Future[None] | None] = deque()

    async def take(
        self, attempt: Callable[[], T | None], wait: Callable[[], Awaitable[None]]
    ) -> T:
        """Take something in turn. Cancelled, it took nothing.

        Args:
            attempt: Takes it; None if there is nothing.
            wait: Waits until there may be something; safe to cancel.

        Raises:
            Exception: What these raise.
        """
        if is_in_line := bool(self.places):
            await self.join()
        try:
            while (taken := attempt()) is None:
                if not is_in_line:
                    is_in_line = True
                    self.begin()
                await wait()
            return taken
        finally:
            if is_in_line:
                self.leave()

    def begin(self) -> None:
        """Stand first; nobody is in line."""
        self.places.append(None)

    async def join(self) -> None:
        """Stand last, and wait until all before have left. Cancelled, it has left."""
        turn = asyncio.get_running_loop().create_future()
        self.places.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if self.places[0] is turn:
                self.leave()
            else:
                self.places.remove(turn)
            raise

    def leave(self) -> None:
        """Give the first place to the next; by who stands there."""
        self.places.popleft()
        if self.places:
            turn = self.places[0]
            # NB: one that was cancelled leaves when it runs.
            if turn is not None and not turn.done():
                turn.set_result(None)
