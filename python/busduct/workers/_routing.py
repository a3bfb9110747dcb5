"""Which worker gets the next query. No I/O."""

from typing import Literal, Protocol, TypeAlias

from busduct.errors import ConfigError

__all__ = ["LeastLoaded", "RoundRobin", "Router", "Routing", "new_router"]

Routing: TypeAlias = Literal["round_robin", "least_loaded"]


class Router(Protocol):
    """Choose among the workers that are ready."""

    @property
    def ready(self) -> list[int]:
        """The ids of those that may be chosen."""
        ...

    def add(self, worker_id: int) -> None:
        """Choose among this one too; nothing is under way there. Idempotent."""
        ...

    def remove(self, worker_id: int) -> None:
        """Choose this one no more. Idempotent."""
        ...

    def choose(self) -> int | None:
        """Return the worker for the next query, and count it there.

        None if no worker is ready.
        """
        ...

    def move(self, chosen_id: int, worker_id: int | None) -> None:
        """Count the query of the last `choose` at another worker, or at none."""
        ...

    def note_ended(self, worker_id: int) -> None:
        """Count one that a worker has done with."""
        ...


class RoundRobin:
    """Each in turn."""

    def __init__(self, num_workers: int) -> None:
        self.ready: list[int] = []
        self._next = 0
        del num_workers

    def add(self, worker_id: int) -> None:
        """See `Router`."""
        if worker_id not in self.ready:
            self.ready = sorted((*self.ready, worker_id))

    def remove(self, worker_id: int) -> None:
        """See `Router`."""
        self.ready = [other for other in self.ready if other != worker_id]

    def choose(self) -> int | None:
        """See `Router`."""
        ready = self.ready
        index = self._next
        if index >= len(ready):
            if not ready:
                return None
            index = 0
        self._next = index + 1
        return ready[index]

    def move(self, chosen_id: int, worker_id: int | None) -> None:
        """See `Router`."""

    def note_ended(self, worker_id: int) -> None:
        """See `Router`."""


class LeastLoaded:
    """The one with the fewest queries; among equals the one that waited longest.

    Workers stand in rows by how many queries they have. A query more or less moves one
    by one row, so that no step depends on the number of workers.
    """

    def __init__(self, num_workers: int) -> None:
        self._loads = [0] * num_workers
        # A dict keeps the order in which workers came to a row.
        self._rows: list[dict[int, None]] = [{}]
        # No worker stands in a lower row.
        self._lowest = 0
        self._ready: set[int] = set()

    @property
    def ready(self) -> list[int]:
        """See `Router`."""
        return sorted(self._ready)

    def add(self, worker_id: int) -> None:
        """See `Router`."""
        if worker_id in self._ready:
            return
        self._ready.add(worker_id)
        self._loads[worker_id] = 0
        self._rows[0][worker_id] = None
        self._lowest = 0

    def remove(self, worker_id: int) -> None:
        """See `Router`."""
        if worker_id in self._ready:
            self._ready.remove(worker_id)
            del self._rows[self._loads[worker_id]][worker_id]

    def choose(self) -> int | None:
        """See `Router`."""
        if not self._ready:
            return None
        rows, load = self._rows, self._lowest
        while not rows[load]:
            load += 1
        self._lowest = load
        worker_id = next(iter(rows[load]))
        self._stand(worker_id, load + 1)
        return worker_id

    def move(self, chosen_id: int, worker_id: int | None) -> None:
        """See `Router`."""
        self.note_ended(chosen_id)
        if worker_id is not None:
            self._stand(worker_id, self._loads[worker_id] + 1)

    def note_ended(self, worker_id: int) -> None:
        """See `Router`."""
        if worker_id in self._ready:
            load = self._loads[worker_id] - 1
            self._stand(worker_id, load)
            # Half the time that min() takes.
            if load < self._lowest:  # noqa: PLR1730
                self._lowest = load

    def _stand(self, worker_id: int, load: int) -> None:
        """Move a worker to the row of this load."""
        loads, rows = self._loads, self._rows
        del rows[loads[worker_id]][worker_id]
        loads[worker_id] = load
        if load == len(rows):
            rows.append({})
        rows[load][worker_id] = None


def new_router(routing: Routing, num_workers: int) -> Router:
    """Make a router by its name.

    Raises:
        ConfigError: There is none of this name.
    """
    if routing == "round_robin":
        return RoundRobin(num_workers)
    if routing == "least_loaded":
        return LeastLoaded(num_workers)
    msg = f"routing is {routing!r}; it may be 'round_robin' or 'least_loaded'"
    raise ConfigError(msg)
