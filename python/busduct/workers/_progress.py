"""How many of its queries each worker has started, written where it outlives them."""

import mmap
import os
import sys
import tempfile

from busduct._scopes import Scope

__all__ = ["StartBoard", "StartCounter"]

# A line of the cache each: workers on other cores do not wait for one another.
_SLOT_BYTES = 128
_SLOT_WORDS = _SLOT_BYTES // 8


class StartCounter:
    """A worker's side: counts the queries that it took up, in the order they came.

    The count is in memory that the pool's process holds too. It is read there once this
    process is dead: whatever was not counted can be done by another worker.

    Args:
        fd: Of the pool's `StartBoard`; closed by this.
        worker_id: Which slot is this worker's.

    Raises:
        OSError: The descriptor cannot be mapped.
        ValueError: There is nothing in it.
    """

    def __init__(self, fd: int, worker_id: int) -> None:
        try:
            self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        self._index = worker_id * _SLOT_WORDS
        self._num_started = self._words[self._index]

    def advance(self) -> None:
        """Say that the next query, in the order received, is being started.

        NB: call it before anything of the query leaves the process, and for each query
        that is received, also for one that is given up without having been started.
        """
        # SYNC: one aligned store of 8 bytes; it is read after this process's death.
        self._num_started += 1
        self._words[self._index] = self._num_started


class StartBoard(Scope):
    """The pool's side: a slot for each worker.

    Args:
        num_workers: How many slots.

    Attributes:
        fd: For the workers; it closes with this.
    """

    def __init__(self, num_workers: int) -> None:
        self._closed = False
        nbytes = num_workers * _SLOT_BYTES
        self.fd = _anonymous_file()
        os.ftruncate(self.fd, nbytes)
        self._map = mmap.mmap(self.fd, nbytes)
        self._words = memoryview(self._map).cast("Q")

    def num_started(self, worker_id: int) -> int:
        """Return how many queries a worker has started; exact once it is dead."""
        return self._words[worker_id * _SLOT_WORDS]

    def reset(self, worker_id: int) -> None:
        """Count from 0, for the next process. The one before must be dead."""
        self._words[worker_id * _SLOT_WORDS] = 0

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._words.release()
        self._map.close()
        os.close(self.fd)


def _anonymous_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("busduct-progress", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
