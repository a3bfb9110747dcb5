"""Callers that wait for a socket: tasks woken in turn, and those that block."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

from busduct._fallback._options import check_timeout
from busduct._fallback._reactor import Reactor
from busduct.errors import LocalProtocolError, WaitTimeoutError

__all__ = ["Operation", "Receiving", "WaitQueue", "block", "retry"]

T = TypeVar("T")
Taken = TypeVar("Taken", bound=bytes | Sequence[bytes])


class WaitQueue:
    """Who waits for one thing, first come first served.

    A wake-up says "try again" and carries nothing, so a task cancelled at that moment
    loses nothing: the next one is woken in its place.
    """

    __slots__ = ("_futures", "_reactor")

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[None]] = deque()
        self._reactor: Reactor | None = None

    def __bool__(self) -> bool:
        return bool(self._futures)

    def wake(self) -> None:
        """Wake the first that still waits."""
        if self._futures and self._reactor and self._reactor.defer(self):
            return
        while self._futures:
            future = self._futures.popleft()
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake everybody."""
        for _ in range(len(self._futures)):
            self.wake()

    def join(self, reactor: Reactor, *, again: bool) -> asyncio.Future[None]:
        """Line the running task up; return what it is to `wait` for.

        Args:
            reactor: In whose call this is, so that nothing can happen unnoticed between
                a vain attempt and the wait.
            again: It was woken in vain and takes its place at the front.

        Raises:
            LocalProtocolError: No loop is running.
        """
        loop = asyncio._get_running_loop()
        if loop is None:
            msg = "no running asyncio loop; use the blocking call"
            raise LocalProtocolError(msg)
        self._reactor = reactor
        future = loop.create_future()
        if again:
            self._futures.appendleft(future)
        else:
            self._futures.append(future)
        return future

    def wait(self, future: asyncio.Future[None]) -> Generator[Any, None, None]:
        """Suspend the task until it is woken."""
        try:
            yield from future
        except BaseException:
            if future.done() and not future.cancelled():
                self.wake()
            elif future in self._futures:
                self._futures.remove(future)
            raise


class Operation(Generic[T]):
    """An awaitable that tries until it succeeds.

    `attempt` returns the result, or the queue to wait in. Nothing is taken or accepted
    before the awaiting task resumes, so cancelling it loses nothing.
    """

    __slots__ = ("_attempt", "_is_used", "_reactor")

    def __init__(self, reactor: Reactor, attempt: Callable[[], T | WaitQueue]) -> None:
        self._reactor = reactor
        self._attempt = attempt
        self._is_used = False

    def __await__(self) -> Generator[Any, None, T]:
        if self._is_used:
            msg = "awaitable was awaited already"
            raise RuntimeError(msg)
        self._is_used = True
        waited_in: WaitQueue | None = None
        while True:
            with self._reactor:
                result = retry(self._reactor, self._attempt)
                if not isinstance(result, WaitQueue):
                    return result
                future = result.join(self._reactor, again=result is waited_in)
            self._reactor.turn.begin()
            yield from result.wait(future)
            waited_in = result


class Receiving(Operation[Taken]):
    """An operation that takes messages, and first lets others have their turn."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Taken]:
        turn = self._reactor.turn
        if turn.is_over:
            turn.begin()
            # What a task takes for a wish to go on when all others had their turn.
            yield
        taken = yield from super().__await__()
        turn.note(taken)
        return taken


def retry(reactor: Reactor, attempt: Callable[[], T | WaitQueue]) -> T | WaitQueue:
    """Try; if it would have to wait, write what gathered and try once more."""
    result = attempt()
    if isinstance(result, WaitQueue):
        # Flushing may make room.
        reactor.flush()
        result = attempt()
    return result


def block(
    reactor: Reactor, attempt: Callable[[], T | WaitQueue], timeout: float | None
) -> T:
    """Try until it succeeds, turning the reactor over meanwhile.

    Raises:
        ConfigError: The timeout is negative, or not a number.
        WaitTimeoutError: It did not succeed in time.
    """
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    left = timeout
    is_over = False
    with reactor:
        while isinstance(result := retry(reactor, attempt), WaitQueue):
            if is_over:
                raise WaitTimeoutError(timeout or 0.0)
            if deadline is not None:
                left = deadline - time.monotonic()
                is_over = left <= 0
            reactor.process(left)
        return result
