"""The calls of a queue for threads that run no event loop."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from busduct.errors import (
    ClosedError,
    ConfigError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.fmq._consuming import Consuming
from busduct.fmq._message import Message
from busduct.fmq._producing import Producing

__all__ = [
    "MAX_MANY",
    "SHM_THRESHOLD",
    "SyncCalls",
    "require_no_loop",
    "seconds_of",
]

SHM_THRESHOLD = 1 << 20
# What `get_many` takes at most, unless told.
MAX_MANY = 1024


class SyncCalls:
    """Puts and gets that block their thread; several threads may do so at once.

    The loop of the queue runs in another thread: the `FMQ`'s own, unless the queue is
    open in one of the caller's. Small messages do not wait for it.
    """

    def _require_producing(self) -> Producing:
        raise NotImplementedError

    def _require_consuming(self) -> Consuming:
        raise NotImplementedError

    def put_sync(
        self,
        data: Any,
        shm_threshold: int = SHM_THRESHOLD,
    ) -> int:
        """Put a message, blocking until there is room; as `put`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        return self.put_many_sync((data,), shm_threshold)[0]

    def put_many_sync(
        self, payloads: Sequence[Any], shm_threshold: int = SHM_THRESHOLD
    ) -> list[int]:
        """Put messages in order, blocking until there is room; as `put_many`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        side = self._require_producing()
        require_no_loop()
        return side.put_many_blocking(payloads, shm_threshold)

    def get_sync(
        self, timeout: float | None = None, raise_on_timeout: bool = False
    ) -> Message | None:
        """Take a message, blocking until there is one; as `get`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        side = self._require_consuming()
        require_no_loop()
        try:
            return side.get_blocking(seconds_of(timeout))
        except WaitTimeoutError:
            if raise_on_timeout:
                raise
            return None

    def get_many_sync(
        self, max_n: int = MAX_MANY, timeout: float | None = None
    ) -> list[Message]:
        """Take what is there, blocking until there is something; as `get_many`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        side = self._require_consuming()
        require_no_loop()
        try:
            return side.get_many_blocking(max_n, seconds_of(timeout))
        except WaitTimeoutError:
            return []

    def flush_sync(self, timeout: float | None = None) -> bool:
        """Block until all that was put has been sent to consumers; as `flush`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        side = self._require_producing()
        require_no_loop()
        return side.blocking(lambda: side.flush(timeout))

    def __iter__(self) -> Iterator[Message]:
        """Take messages, blocking, until the queue is closed."""
        try:
            while True:
                message = self.get_sync()
                assert message is not None
                yield message
        except ClosedError:
            return


def seconds_of(timeout: float | None) -> float | None:
    """Return what a timeout in milliseconds is, of which 0 stands for none.

    Raises:
        ConfigError: Negative.
    """
    if not timeout:
        return None
    if timeout < 0:
        msg = f"timeout is {timeout} ms; it may not be negative"
        raise ConfigError(msg)
    return timeout / 1000


def require_no_loop() -> None:
    """Refuse to block a loop.

    Raises:
        LocalProtocolError: One runs in this thread.
    """
    if asyncio._get_running_loop() is not None:
        msg = "this would block the event loop of its thread; await the other call"
        raise LocalProtocolError(msg)
