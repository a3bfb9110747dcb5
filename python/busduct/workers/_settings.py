"""What a manager is told, and what it tells the processes that it starts."""

from typing import TYPE_CHECKING, Protocol

import msgspec

from busduct.workers._progress import StartCounter
from busduct.workers._routing import Routing

if TYPE_CHECKING:
    from busduct.transport.pool import AnyTransportConfig, AnyWorkerConnector
    from busduct.workers._affinity import AffinityPlan

__all__ = ["LaunchSettings", "WorkerSettings", "WorkerStart"]


class WorkerSettings(Protocol):
    """What a `WorkerManager` needs to know; an `HTTPClientConfig` has all of it."""

    @property
    def num_workers(self) -> int:
        """Processes, at least 1."""
        ...

    @property
    def transport(self) -> "AnyTransportConfig | None":
        """How queries and results travel; None for ZeroMQ's wire."""
        ...

    @property
    def cpu_affinity(self) -> "AffinityPlan | None":
        """Which worker runs on which CPUs; None for wherever the kernel puts it."""
        ...

    @property
    def worker_initialization_timeout(self) -> float:
        """Seconds until all must be ready."""
        ...

    @property
    def worker_graceful_shutdown_wait(self) -> float:
        """Seconds between asking a worker to end and killing it."""
        ...

    @property
    def worker_force_kill_timeout(self) -> float:
        """Seconds that a killed worker is waited for."""
        ...

    @property
    def max_restarts(self) -> int:
        """Restarts of one worker within `restart_window`."""
        ...

    @property
    def restart_window(self) -> float:
        """Seconds."""
        ...

    @property
    def routing(self) -> Routing:
        """How queries are spread."""
        ...

    @property
    def request_timeout(self) -> float | None:
        """Seconds that a query may take which says nothing else; None for no limit."""
        ...

    @property
    def log_level(self) -> str:
        """Of the workers, whose lines come back by their standard error."""
        ...

    @property
    def worker_target(self) -> str:
        """What a worker runs: ``"module:function"``, called with a `WorkerStart`."""
        ...

    def to_worker_settings(self) -> bytes:
        """Return what the target needs to know, as JSON of one line."""
        ...


class WorkerStart(msgspec.Struct, frozen=True):
    """What a worker's target is called with.

    Attributes:
        worker_id: Which, from 0.
        connector: Leads to the pool.
        settings: What `WorkerSettings.to_worker_settings` returned.
        progress: To be advanced for each query that is taken up.
    """

    worker_id: int
    connector: "AnyWorkerConnector"
    settings: bytes
    progress: StartCounter


class LaunchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the manager writes to a process's standard input, as a line of JSON.

    Attributes:
        parent_pid: Of the manager.
        worker_id: Which worker to be.
        cpus: Where to run; empty for anywhere.
        log_level: Of the root logger.
        target: ``"module:function"``.
        progress_fd: Of the `StartBoard`.
        connector: Not decoded here: that takes modules which may start threads, and a
            thread keeps the CPUs that it was started on.
        settings: For the target.
    """

    parent_pid: int
    worker_id: int
    cpus: tuple[int, ...]
    log_level: str
    target: str
    progress_fd: int
    connector: msgspec.Raw
    settings: msgspec.Raw
