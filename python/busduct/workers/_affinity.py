"""Which process runs on which CPUs."""

import logging
import math
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from busduct.workers._topology import Core, cpu_quota, find_cores, gpu_nodes

__all__ = ["AffinityPlan", "compute_affinity_plan", "set_cpu_affinity"]

_log = logging.getLogger("busduct.workers")

# The loop, what it hands to threads, and the sender of a load.
DEFAULT_LOADGEN_CORES = 5


class AffinityPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Physical cores, each with all its hyperthreads, shared out to processes.

    An empty plan pins nothing.

    Attributes:
        loadgen_cpus: For the process that sends the load, all of one NUMA node.
        worker_cpu_sets: For the workers: a core each, in the order they are to be used.
        num_loadgen_physical_cores: Cores that `loadgen_cpus` belong to.
        primary_numa: The node of those.
        gpu_numa_nodes: The node of each GPU, where nvidia-ml-py tells.
    """

    loadgen_cpus: tuple[int, ...] = ()
    worker_cpu_sets: tuple[tuple[int, ...], ...] = ()
    num_loadgen_physical_cores: int = 0
    primary_numa: int = 0
    gpu_numa_nodes: tuple[int, ...] = ()

    @property
    def num_worker_physical_cores(self) -> int:
        """Cores for workers."""
        return len(self.worker_cpu_sets)

    def get_worker_cpus(self, worker_id: int) -> tuple[int, ...]:
        """Return a worker's CPUs; with more workers than cores, some share one."""
        if not self.worker_cpu_sets:
            return ()
        return self.worker_cpu_sets[worker_id % len(self.worker_cpu_sets)]

    def summary(self) -> str:
        """Return a few lines for people."""
        if not self.worker_cpu_sets:
            return "no process is pinned"
        sets = " ".join(_text(cpus) for cpus in self.worker_cpu_sets[:8])
        more = self.num_worker_physical_cores - 8
        return (
            f"load: CPUs {_text(self.loadgen_cpus)} "
            f"({self.num_loadgen_physical_cores} cores of node {self.primary_numa})\n"
            f"workers: {self.num_worker_physical_cores} cores: {sets}"
            + (f" and {more} more" if more > 0 else "")
        )


def compute_affinity_plan(
    num_workers: int,
    loadgen_cores: int = DEFAULT_LOADGEN_CORES,
    *,
    near_gpus: bool = False,
    root: Path = Path("/"),
    allowed: Collection[int] | None = None,
) -> AffinityPlan:
    """Share out the physical cores that this process may use.

    The sender of the load gets its cores from the NUMA node of the fastest core,
    workers get what is left of that node and then of the others, the fastest first. No
    more cores are used than the control group allows CPU time for. Where workers would
    be left without, the sender gets fewer, at least one. With fewer than two cores, or
    on another system than Linux, the plan is empty.

    Args:
        num_workers: Processes.
        loadgen_cores: Cores for the sender, if there are enough.
        near_gpus: Have worker ``i`` on the node of GPU ``i % num_gpus``, for as long as
            that has cores.
        root: Where ``sys`` and ``proc`` are.
        allowed: CPUs to choose from; None for those of this process.
    """
    if allowed is None:
        if sys.platform != "linux":
            return AffinityPlan()
        allowed = os.sched_getaffinity(0)
    cores = find_cores(set(allowed), root)
    cores = _in_order(cores)[: max(1, math.ceil(min(cpu_quota(root), len(cores))))]
    if len(cores) < 2:
        return AffinityPlan()
    primary = [core for core in cores if core.node == cores[0].node]
    num_loadgen = max(1, min(loadgen_cores, len(cores) - num_workers))
    loadgen = primary[: min(num_loadgen, len(cores) - 1)]
    others = [core for core in cores if core not in loadgen]
    gpus = gpu_nodes(root) if near_gpus else ()
    if gpus:
        others = _near(others, [gpus[i % len(gpus)] for i in range(num_workers)])
    return AffinityPlan(
        loadgen_cpus=tuple(sorted(cpu for core in loadgen for cpu in core.cpus)),
        worker_cpu_sets=tuple(core.cpus for core in others),
        num_loadgen_physical_cores=len(loadgen),
        primary_numa=cores[0].node,
        gpu_numa_nodes=gpus,
    )


def set_cpu_affinity(pid: int, cpus: set[int]) -> bool:
    """Have a process run on these CPUs alone; 0 for this one.

    NB: threads that it has already go on where they are.

    Returns:
        Whether it does. If not, that is logged.
    """
    if not cpus or sys.platform != "linux":
        return False
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError as error:
        _log.warning("process %d cannot be pinned to %s: %s", pid, sorted(cpus), error)
        return False
    return True


def _in_order(cores: list[Core]) -> list[Core]:
    """Return cores node by node, that of the fastest core first, fast ones first."""
    fastest: dict[int, int] = {}
    for core in cores:
        fastest[core.node] = max(core.speed, fastest.get(core.node, 0))
    return sorted(
        cores,
        key=lambda core: (-fastest[core.node], core.node, -core.speed, core.cpus),
    )


def _near(cores: list[Core], nodes: Sequence[int]) -> list[Core]:
    """Return the cores so that each is of the node wanted at its place, if one is."""
    left = list(cores)
    placed = []
    for node in nodes[: len(cores)]:
        core = next((core for core in left if core.node == node), left[0])
        left.remove(core)
        placed.append(core)
    return placed + left


def _text(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))
