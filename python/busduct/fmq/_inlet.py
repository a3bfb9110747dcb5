"""Messages that other threads put, on their way to a producer in its loop."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from busduct.fmq._producer import Producer
from busduct.fmq._wire import Encoded

__all__ = ["Inlet"]


class Inlet:
    """Accepts messages in the stead of a producer whose loop runs in another thread.

    It knows how much room the producer had, and which id comes next, so that a thread
    need not wait for the loop. While a task of the loop puts, or waits to, it accepts
    nothing: the order of the ids is that of the puts.

    Args:
        loop: Where the producer lives, and this is made.
        producer: The producer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, producer: Producer) -> None:
        self._loop = loop
        self._producer = producer
        self._lock = threading.Lock()
        self._messages: list[Encoded] = []
        self._nbytes = 0
        self._is_due = False
        self._num_pauses = 0
        self._next_msg_id = 0
        self._room_messages = 0
        self._room_bytes = 0
        self._look()

    def put(self, messages: Sequence[Encoded]) -> int | None:
        """Accept messages, of any thread.

        Returns:
            The id of the first; None if there is no room that is known of.

        Raises:
            RuntimeError: The loop is closed.
        """
        nbytes = sum(encoded.nbytes for encoded in messages)
        with self._lock:
            if (
                self._num_pauses
                or len(messages) > self._room_messages
                or nbytes > self._room_bytes
            ):
                return None
            if not self._is_due:
                self._loop.call_soon_threadsafe(self.drain)
                self._is_due = True
            self._messages.extend(messages)
            self._nbytes += nbytes
            self._room_messages -= len(messages)
            self._room_bytes -= nbytes
            first = self._next_msg_id
            self._next_msg_id += len(messages)
            return first

    def drain(self) -> None:
        """Give the producer what was accepted; in the loop.

        Raises:
            ClosedError: The producer is closed.
        """
        with self._lock:
            messages, self._messages = self._messages, []
            self._nbytes = 0
            self._is_due = False
        for encoded in messages:
            self._producer.put_nowait(encoded)
        self._look()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Accept nothing in a block that gives the producer messages; in the loop."""
        with self._lock:
            self._num_pauses += 1
        self.drain()
        try:
            yield
        finally:
            with self._lock:
                self._num_pauses -= 1
            self._look()

    def close(self) -> None:
        """Accept nothing any more, and give the producer what was; in the loop."""
        with self._lock:
            self._num_pauses += 1
        self.drain()

    def _look(self) -> None:
        """See how much room there is, beside what was accepted in the meantime."""
        num_messages, nbytes = self._producer.room()
        with self._lock:
            if not self._num_pauses:
                self._next_msg_id = self._producer.next_msg_id + len(self._messages)
            self._room_messages = num_messages - len(self._messages)
            self._room_bytes = nbytes - self._nbytes
