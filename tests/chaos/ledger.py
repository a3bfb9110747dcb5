"""What a process did, written where it outlives the process."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Self

_NUM_WORDS = 16
MAX_MESSAGES = 1 << 18


class Word(IntEnum):
    """Which number is written where."""

    # The peer is there: a process that receives has its socket, one that sends sends.
    READY = 0
    # Messages whose send began, and that the socket says it sent.
    BEGUN = 1
    SENT = 2
    # Messages received, and those that were not what was sent, or came before an older.
    RECEIVED = 3
    TORN = 4
    DISORDERED = 5
    LEASED = 6
    # Written by whoever started the process: it is to do no more than it has begun.
    STOP = 7
    # All that was begun is done.
    DONE = 8
    # It is with this one that others register.
    SERVING = 9


class Ledger:
    """Numbers of several processes, and how often each message was received."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, 8 * _NUM_WORDS + MAX_MESSAGES)
        self._words = memoryview(self._map)[: 8 * _NUM_WORDS].cast("Q")

    def __getitem__(self, word: Word) -> int:
        return self._words[word]

    def __setitem__(self, word: Word, value: int) -> None:
        self._words[word] = value

    def note_received(self, number: int) -> None:
        """Count one message."""
        self._map[8 * _NUM_WORDS + number] += 1
        self[Word.RECEIVED] += 1

    def note_delivery(self, number: int, num_deliveries: int) -> None:
        """Count one message, apart from those that say that they may come again."""
        self._map[8 * _NUM_WORDS + number] += 1 if num_deliveries == 1 else 16
        self[Word.RECEIVED] += 1

    def times_received(self, num_messages: int) -> bytes:
        """Return for each of the first messages how often it was received."""
        start = 8 * _NUM_WORDS
        return self._map[start : start + num_messages]

    def close(self) -> None:
        """Let the memory go."""
        self._words.release()
        self._map.close()
        os.close(self.fd)

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Make an empty one."""
        fd = os.memfd_create("ledger")
        os.ftruncate(fd, 8 * _NUM_WORDS + MAX_MESSAGES)
        ledger = cls(fd)
        try:
            yield ledger
        finally:
            ledger.close()
