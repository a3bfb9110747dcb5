"""Worker processes: started, pinned, watched, restarted, and given queries."""

from busduct.workers._affinity import (
    AffinityPlan,
    compute_affinity_plan,
    set_cpu_affinity,
)
from busduct.workers._progress import StartBoard, StartCounter
from busduct.workers._settings import WorkerSettings, WorkerStart
from busduct.workers._topology import cpu_quota
from busduct.workers._worker import Worker
from busduct.workers.dispatcher import Dispatcher
from busduct.workers.manager import WorkerManager

__all__ = [
    "AffinityPlan",
    "Dispatcher",
    "StartBoard",
    "StartCounter",
    "Worker",
    "WorkerManager",
    "WorkerSettings",
    "WorkerStart",
    "compute_affinity_plan",
    "cpu_quota",
    "set_cpu_affinity",
]
