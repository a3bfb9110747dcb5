"""The pool's sockets for requests: one for each worker, or none."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from busduct.errors import ClosedError
from busduct.transport.pool._message_sender import Payload, send_large

if TYPE_CHECKING:
    from busduct._core import Socket
    from busduct.statistics import SocketStatistics

__all__ = ["RequestSockets"]


class RequestSockets:
    """A PUSH for each worker.

    Args:
        max_message_bytes: That of the sockets.

    Attributes:
        by_worker: The sockets; an unknown id is an IndexError.
        send_nowait: What sends a payload to a worker at once.
        num_dropped: Messages queued for workers when they were dropped.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_nbytes = max_message_bytes
        self._is_silent = False
        self.by_worker: dict[int, Socket] = _ByWorker()
        self.send_nowait: dict[int, Callable[[bytearray], None]] = _ByWorker()
        self.num_dropped = 0
        self._num_sent_before = 0

    def open(self, worker_id: int, socket: "Socket") -> None:
        """Take a socket for a worker that has none."""
        self.by_worker[worker_id] = socket
        self.send_nowait[worker_id] = socket.send_nowait

    async def wait_writable(self, worker_id: int) -> bool:
        """Wait for room in the queue of a worker; False once it is closed for good."""
        while True:
            socket = self.by_worker[worker_id]
            try:
                await socket.wait_writable()
            except ClosedError:
                # The worker may have another one since.
                if socket is self.by_worker[worker_id]:
                    return False
            else:
                return True

    def send_large(self, worker_id: int, payload: Payload) -> None:
        """Send a payload through memory of the worker's socket.

        Raises:
            FrameTooLargeError: Over the limit.
            FullError: No room, and nothing was accepted.
            IndexError: There is no such worker.
        """
        if not self._is_silent:
            send_large(self.by_worker[worker_id], payload, self._max_nbytes)

    def drop(self, worker_id: int) -> None:
        """Close a worker's socket, and forget what is queued there."""
        socket = self.by_worker[worker_id]
        before = socket.statistics()
        socket.close(linger=0)
        self.num_dropped += before.num_send_queued
        self._num_sent_before += before.num_messages_sent

    def silence(self) -> None:
        """Send nothing from here on."""
        self._is_silent = True
        for worker_id in self.send_nowait:
            self.send_nowait[worker_id] = _ignore

    def statistics(self) -> "list[SocketStatistics]":
        """Return those of each worker's socket."""
        return [socket.statistics() for socket in self.by_worker.values()]

    def num_sent(self) -> int:
        """Return how many messages went to workers, the dropped ones included."""
        present = sum(each.num_messages_sent for each in self.statistics())
        return self._num_sent_before + present


class _ByWorker(dict[int, Any]):
    """Something for each worker."""

    def __missing__(self, worker_id: int) -> NoReturn:
        msg = f"there is no worker {worker_id!r}; there are {len(self)}"
        raise IndexError(msg)


def _ignore(_payload: object) -> None:
    """Send nothing."""
