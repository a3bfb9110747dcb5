"""Who has which query, and whether its caller has had its end. No I/O."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from busduct.messages import Query, QueryResult, StreamChunk

__all__ = ["HELD", "Entry", "Item", "Ledger", "Sink"]

Item: TypeAlias = StreamChunk | QueryResult
Sink: TypeAlias = Callable[[Item], object]

# The worker of a query that waits for one.
HELD = -1


class Entry(msgspec.Struct, eq=False, gc=False):
    """A query that a worker has, or that waits for one.

    Attributes:
        query: To be sent again if need be.
        sink: Gets what comes of it; None where the caller polls.
        worker_id: Who has it, or `HELD`.
        sequence: How many queries that worker got before it.
        deadline: By the loop's clock.
        has_chunks: Something of its answer came already.
        is_ended: Its caller has had its end. It stays until its worker has done with
            it: until then the worker is busy with it, and another query of the same id
            would get its answer.
    """

    query: Query
    sink: Sink | None
    worker_id: int = HELD
    sequence: int = 0
    deadline: float = math.inf
    has_chunks: bool = False
    is_ended: bool = False


class Ledger:
    """The queries under way, by id, and the order in which each worker got them.

    Args:
        num_workers: Ids go from 0.

    Attributes:
        entries: By id. To look at from outside, no more.
        held: Those of them that no worker has, in the order in which they are to go.
            To look at too.
        num_late: Responses to queries that had ended, or that are unknown.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_late = 0
        self.entries: dict[str, Entry] = {}
        self.held: OrderedDict[str, Entry] = OrderedDict()
        self._num_sent = [0] * num_workers
        # Ended for their callers, not yet for their workers.
        self._num_lingering = 0

    @property
    def num_under_way(self) -> int:
        """Queries whose callers wait."""
        return len(self.entries) - self._num_lingering

    def hold(self, entry: Entry) -> None:
        """Keep a query that no worker has; its id must not be under way."""
        self.entries[entry.query.id] = self.held[entry.query.id] = entry

    def assign(self, entry: Entry, worker_id: int) -> None:
        """Keep a query that a worker got, after all that it got before."""
        self.entries[entry.query.id] = entry
        if self.held:
            self.held.pop(entry.query.id, None)
        entry.worker_id = worker_id
        sequence = self._num_sent[worker_id]
        entry.sequence = sequence
        self._num_sent[worker_id] = sequence + 1

    def get(self, query_id: str) -> Entry | None:
        """Return the entry of a query whose caller waits; None if there is none."""
        entry = self.entries.get(query_id)
        return None if entry is None or entry.is_ended else entry

    def take_chunk(self, chunk: StreamChunk) -> Entry | None:
        """Return whose chunk it is; None, counted as late, if nobody waits for it."""
        entry = self.entries.get(chunk.id)
        if entry is None or entry.is_ended:
            self.num_late += 1
            return None
        entry.has_chunks = True
        return entry

    def take_result(self, result: QueryResult) -> Entry | None:
        """Take out the entry that a worker is done with.

        Returns:
            The entry; `is_ended` if its caller has had its end before, which is counted
            as late. None, counted too, for an id that no worker has.
        """
        entry = self.entries.pop(result.id, None)
        if entry is None:
            self.num_late += 1
        elif entry.is_ended:
            self.num_late += 1
            self._num_lingering -= 1
        elif entry.worker_id == HELD:
            del self.held[result.id]
        return entry

    def end(self, entry: Entry) -> None:
        """Note that the caller has had the end, before any worker was done with it."""
        entry.is_ended = True
        if entry.worker_id == HELD:
            del self.entries[entry.query.id]
            self.held.pop(entry.query.id, None)
        else:
            self._num_lingering += 1

    def lose(self, worker_id: int, num_started: int) -> tuple[list[Entry], list[Entry]]:
        """Take back what a dead worker had; it counts from 0 again.

        Args:
            worker_id: Nothing may come from it any more.
            num_started: How many queries it had started, in the order it got them.

        Returns:
            The queries that it had started, taken out, and those that it had not, which
            are held before all others. Both in the order that it got them, and only
            those whose callers wait.
        """
        lost = [e for e in self.entries.values() if e.worker_id == worker_id]
        lost.sort(key=lambda entry: entry.sequence)
        self._num_sent[worker_id] = 0
        started: list[Entry] = []
        unstarted: list[Entry] = []
        for entry in lost:
            entry.worker_id = HELD
            if entry.is_ended:
                del self.entries[entry.query.id]
                self._num_lingering -= 1
            elif entry.sequence < num_started or entry.has_chunks:
                started.append(entry)
                self.end(entry)
            else:
                unstarted.append(entry)
        for entry in reversed(unstarted):
            self.held[entry.query.id] = entry
            self.held.move_to_end(entry.query.id, last=False)
        return started, unstarted

    def due(self, now: float) -> tuple[list[Entry], float | None]:
        """Find the queries whose deadline has come; looks at all.

        Returns:
            Those, earliest first, and the earliest deadline of the others.
        """
        waiting = [e for e in self.entries.values() if not e.is_ended]
        due = [entry for entry in waiting if entry.deadline <= now]
        due.sort(key=lambda entry: entry.deadline)
        later = [entry.deadline for entry in waiting if entry.deadline > now]
        return due, min(later, default=None)

    def end_all(self) -> list[Entry]:
        """Take out everything; return those whose callers wait."""
        waiting = [e for e in self.entries.values() if not e.is_ended]
        for entry in waiting:
            entry.is_ended = True
        self.entries.clear()
        self.held.clear()
        self._num_lingering = 0
        return waiting
