"""Who waits in a broadcast queue, and since when: told, and interrupted when vain."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from busduct.errors import ConfigError, WaitTimeoutError
from busduct.transport._ranges import require_at_least

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Interrupts", "Waiting", "check_warn_after", "turn_until", "within"]

T = TypeVar("T")


def check_warn_after(seconds: float | None) -> None:
    """Check after how long a wait is to be told of.

    Raises:
        ConfigError: Not more than 0.
    """
    if seconds is not None and not seconds > 0:
        msg = f"warn_after is {seconds}; it is more than 0, or None"
        raise ConfigError(msg)


class Waiting:
    """The waits of one kind, of which the longest is told of at doubling intervals.

    Entered as a context manager by each wait. Inside a running loop a timer tells: it
    outlasts short waits, for setting one costs more than they do. Elsewhere whoever
    waits calls `look`.

    Args:
        warn_after: Seconds of waiting until it is told first; None for never.
        tell: Called with the seconds waited.
    """

    def __init__(self, warn_after: float | None, tell: Callable[[float], None]) -> None:
        self._warn_after = warn_after
        self._tell = tell
        self._num_waits = 0
        self._since = 0.0
        self._interval = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """How long the first of those that wait has waited; 0 if none does."""
        return time.monotonic() - self._since if self._num_waits else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until `look` has something to tell; None for never."""
        if self._warn_after is None:
            return None
        return max(self._interval - self.seconds, 0.0)

    def look(self) -> None:
        """Tell, if that is due."""
        if self.left == 0.0:
            seconds = self.seconds
            self._interval = 2 * seconds
            self._tell(seconds)

    def __enter__(self) -> None:
        self._num_waits += 1
        if self._num_waits == 1:
            self._since = time.monotonic()
            self._interval = self._warn_after or 0.0
            if self._alarm is None:
                self._arm()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._num_waits -= 1

    def close(self) -> None:
        """Tell nothing any more. Idempotent."""
        self._warn_after = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _arm(self) -> None:
        loop = asyncio._get_running_loop()
        if loop is not None and self.left is not None:
            self._alarm = loop.call_later(self.left, self._on_due)

    def _on_due(self) -> None:
        self._alarm = None
        if self._num_waits:
            self.look()
            self._arm()


class Interrupts:
    """Tasks that wait for one thing, and may have to look at another."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()

    async def wait(self, awaitable: Awaitable[object]) -> bool:
        """Wait for something; False if that was interrupted, and nothing came of it.

        Cancelling is as safe as it is for the awaitable.
        """
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                await awaitable
        except TimeoutError:
            if not scope.expired():
                raise
            return False
        finally:
            self._scopes.discard(scope)
        return True

    def interrupt(self) -> None:
        """Have all that wait look again."""
        loop = asyncio._get_running_loop()
        if loop is None:
            return
        # NB: a scope that is expiring may not be told so again.
        scopes, self._scopes = self._scopes, set()
        for scope in scopes:
            scope.reschedule(loop.time())


async def within(timeout: float | None, awaitable: Awaitable[T]) -> T:
    """Await something for at most `timeout` seconds.

    Raises:
        WaitTimeoutError: It took longer.
    """
    try:
        async with asyncio.timeout(timeout) as deadline:
            return await awaitable
    except TimeoutError:
        if timeout is None or not deadline.expired():
            raise
        raise WaitTimeoutError(timeout) from None


def turn_until(
    context: "Context",
    attempt: Callable[[], T | None],
    waiting: Waiting,
    timeout: float | None,
) -> T:
    """Try until it gives something, turning the context over meanwhile.

    Raises:
        ConfigError: The timeout is negative, or not a number.
        WaitTimeoutError: It gave nothing in time.
    """
    if timeout is not None:
        require_at_least(0, timeout=timeout)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    is_over = False
    with waiting:
        while (result := attempt()) is None:
            if is_over:
                raise WaitTimeoutError(timeout or 0.0)
            left = max(deadline - time.monotonic(), 0.0)
            is_over = left == 0.0
            waiting.look()
            left = left if waiting.left is None else min(left, waiting.left)
            context.run_once(None if left == math.inf else left)
        return result
