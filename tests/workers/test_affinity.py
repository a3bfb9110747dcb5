"""Cores are shared out by what the system says of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from busduct.workers import AffinityPlan, compute_affinity_plan, set_cpu_affinity
from busduct.workers._topology import cpu_quota, find_cores, parse_cpu_list


class Machine:
    """A made-up machine, as files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.num_cpus = 0

    def add_node(
        self, node: int, num_cores: int, *, threads: int = 2, stride: int = 1
    ) -> None:
        """Add a socket: each core's hyperthreads lie `stride` apart."""
        first = self.num_cpus
        cores = [
            [first + core + thread * stride for thread in range(threads)]
            if stride > 1
            else [first + core * threads + thread for thread in range(threads)]
            for core in range(num_cores)
        ]
        for core in cores:
            for cpu in core:
                text = ",".join(map(str, core))
                self.write(
                    f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", text
                )
        cpus = sorted(cpu for core in cores for cpu in core)
        self.write(
            f"sys/devices/system/node/node{node}/cpulist", ",".join(map(str, cpus))
        )
        self.num_cpus += num_cores * threads
        self.write("sys/devices/system/cpu/online", f"0-{self.num_cpus - 1}")

    def set_speed(self, cpus: range, speed: int) -> None:
        for cpu in cpus:
            self.write(f"sys/devices/system/cpu/cpu{cpu}/acpi_cppc/highest_perf", speed)

    def write(self, path: str, value: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def plan(
        self, num_workers: int, loadgen_cores: int = 5, **options: object
    ) -> AffinityPlan:
        options = {"allowed": range(self.num_cpus)} | options
        return compute_affinity_plan(
            num_workers,
            loadgen_cores,
            root=self.root,
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def two_sockets(machine: Machine) -> Machine:
    """Two sockets of 16 cores; a core's hyperthreads are 2n and 2n + 1."""
    machine.add_node(0, 16)
    machine.add_node(1, 16)
    return machine


def test_each_gets_whole_cores_and_nobody_shares(two_sockets: Machine) -> None:
    plan = two_sockets.plan(8)
    assert plan.loadgen_cpus == tuple(range(10))
    assert plan.num_loadgen_physical_cores == 5
    assert plan.primary_numa == 0
    # What is left of the first socket, and then the second.
    assert plan.worker_cpu_sets[:2] == ((10, 11), (12, 13))
    assert plan.num_worker_physical_cores == 27
    used = [*plan.loadgen_cpus, *(cpu for cpus in plan.worker_cpu_sets for cpu in cpus)]
    assert sorted(used) == list(range(64))


def test_hyperthreads_that_are_numbered_far_apart_belong_together(
    machine: Machine,
) -> None:
    # As most servers number them: all first threads, then all second ones.
    machine.add_node(0, 8, stride=8)
    plan = machine.plan(4, 2)
    assert plan.loadgen_cpus == (0, 1, 8, 9)
    assert plan.worker_cpu_sets[0] == (2, 10)


def test_core_numbers_that_both_sockets_use_are_told_apart(
    two_sockets: Machine,
) -> None:
    for cpu in range(64):
        path = f"sys/devices/system/cpu/cpu{cpu}/topology/core_id"
        two_sockets.write(path, cpu // 2 % 16)
    assert len(find_cores(set(range(64)), two_sockets.root)) == 32


def test_fast_cores_come_first_and_their_node_is_the_primary(
    two_sockets: Machine,
) -> None:
    two_sockets.set_speed(range(64), 100)
    two_sockets.set_speed(range(40, 48), 200)
    plan = two_sockets.plan(4, 2)
    assert plan.primary_numa == 1
    assert plan.loadgen_cpus == (40, 41, 42, 43)
    assert plan.worker_cpu_sets[:3] == ((44, 45), (46, 47), (32, 33))


def test_only_allowed_cpus_are_used(two_sockets: Machine) -> None:
    plan = two_sockets.plan(2, 1, allowed={4, 5, 6, 40, 99})
    assert plan.loadgen_cpus == (4, 5)
    assert plan.worker_cpu_sets == ((6,), (40,))


def test_offline_cpus_are_not_used(two_sockets: Machine) -> None:
    two_sockets.write("sys/devices/system/cpu/online", "0-7")
    plan = two_sockets.plan(2, 1)
    assert plan.worker_cpu_sets == ((2, 3), (4, 5), (6, 7))


def test_sender_leaves_cores_to_the_workers(two_sockets: Machine) -> None:
    plan = two_sockets.plan(30)
    assert plan.num_loadgen_physical_cores == 2
    assert plan.num_worker_physical_cores == 30
    plan = two_sockets.plan(100)
    assert plan.num_loadgen_physical_cores == 1
    assert plan.get_worker_cpus(31) == plan.get_worker_cpus(0)


def test_sender_stays_on_one_node(two_sockets: Machine) -> None:
    plan = two_sockets.plan(2, 24)
    assert plan.loadgen_cpus == tuple(range(32))


def test_with_two_cores_each_side_gets_one(machine: Machine) -> None:
    machine.add_node(0, 2, threads=1)
    plan = machine.plan(4)
    assert (plan.loadgen_cpus, plan.worker_cpu_sets) == ((0,), ((1,),))


def test_with_one_core_nothing_is_pinned(machine: Machine) -> None:
    machine.add_node(0, 1)
    plan = machine.plan(4)
    assert plan == AffinityPlan()
    assert plan.get_worker_cpus(2) == ()
    assert plan.summary() == "no process is pinned"


def test_where_no_file_tells_each_cpu_is_a_core(machine: Machine) -> None:
    plan = machine.plan(2, 1, allowed={3, 5, 7})
    assert (plan.loadgen_cpus, plan.worker_cpu_sets) == ((3,), ((5,), (7,)))


def test_other_systems_than_linux_have_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert compute_affinity_plan(4) == AffinityPlan()
    assert not set_cpu_affinity(0, {0})


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/", {"cpu.max": "400000 100000"}, 4.0),
        ("0::/", {"cpu.max": "max 100000"}, float("inf")),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/gone", {"cpu.max": "200000 100000"}, 2.0),
        (
            "4:cpu,cpuacct:/a\n0::/",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        (
            "4:cpu:/",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            float("inf"),
        ),
        ("0::/", {"cpu.max": "nonsense"}, float("inf")),
        ("", {}, float("inf")),
    ],
)
def test_quota_of_control_groups_is_read(
    machine: Machine, cgroup: str, files: dict[str, str], quota: float
) -> None:
    machine.write("proc/self/cgroup", cgroup)
    for path, text in files.items():
        machine.write(f"sys/fs/cgroup/{path}", text)
    assert cpu_quota(machine.root) == quota


def test_no_more_cores_are_used_than_there_is_time_for(two_sockets: Machine) -> None:
    two_sockets.write("proc/self/cgroup", "0::/")
    two_sockets.write("sys/fs/cgroup/cpu.max", "350000 100000")
    plan = two_sockets.plan(2)
    assert (plan.num_loadgen_physical_cores, plan.num_worker_physical_cores) == (2, 2)
    two_sockets.write("sys/fs/cgroup/cpu.max", "50000 100000")
    assert two_sockets.plan(2) == AffinityPlan()


def test_cpus_outside_the_control_group_are_not_used(two_sockets: Machine) -> None:
    two_sockets.write("proc/self/cgroup", "0::/box")
    two_sockets.write("sys/fs/cgroup/box/cpuset.cpus.effective", "2-5")
    plan = two_sockets.plan(1, 1)
    assert (plan.loadgen_cpus, plan.worker_cpu_sets) == ((2, 3), ((4, 5),))


class Gpus(ModuleType):
    """nvidia-ml-py, on a machine with two GPUs at node 1 and one at node 0."""

    NVMLError = RuntimeError
    buses = ("00000000:17:00.0", "00000000:65:00.0", "00000000:CA:00.0")

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.is_open = False

    def nvmlInit(self) -> None:  # noqa: N802
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.buses)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetPciInfo(self, handle: int) -> object:  # noqa: N802
        return type("PciInfo", (), {"busId": self.buses[handle]})


@pytest.fixture
def gpus(two_sockets: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    module = Gpus()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    for bus, node in (("17:00.0", 1), ("65:00.0", 0), ("ca:00.0", 1)):
        two_sockets.write(f"sys/bus/pci/devices/0000:{bus}/numa_node", node)
    yield module
    assert not module.is_open


def test_workers_are_near_the_gpus_if_so_asked(
    gpus: Gpus, two_sockets: Machine
) -> None:
    plan = two_sockets.plan(4, 2, near_gpus=True)
    assert plan.gpu_numa_nodes == (1, 0, 1)
    # Worker 3 shares the first GPU.
    assert plan.worker_cpu_sets[:4] == ((32, 33), (4, 5), (34, 35), (36, 37))
    used = [*plan.loadgen_cpus, *(cpu for cpus in plan.worker_cpu_sets for cpu in cpus)]
    assert sorted(used) == list(range(64))
    assert two_sockets.plan(4, 2).gpu_numa_nodes == ()


def test_without_a_driver_or_its_library_there_are_no_gpus(
    gpus: Gpus, two_sockets: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver() -> None:
        raise RuntimeError

    monkeypatch.setattr(gpus, "nvmlInit", no_driver)
    assert two_sockets.plan(4, near_gpus=True).gpu_numa_nodes == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert two_sockets.plan(4, near_gpus=True).gpu_numa_nodes == ()


def test_this_machine_has_a_plan_within_what_is_allowed() -> None:
    plan = compute_affinity_plan(2)
    used = {*plan.loadgen_cpus, *(c for cpus in plan.worker_cpu_sets for c in cpus)}
    assert used <= os.sched_getaffinity(0)


def test_plan_can_be_sent_as_json(two_sockets: Machine) -> None:
    plan = two_sockets.plan(4)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=AffinityPlan) == plan


def test_summary_tells_who_runs_where(two_sockets: Machine) -> None:
    summary = two_sockets.plan(4).summary()
    assert "CPUs 0,1,2,3,4,5,6,7,8,9 (5 cores of node 0)" in summary
    assert "27 cores: 10,11 12,13" in summary
    assert "and 19 more" in summary


def test_affinity_of_another_process_is_set() -> None:
    cpu = min(os.sched_getaffinity(0))
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    with child:
        assert set_cpu_affinity(child.pid, {cpu})
        assert os.sched_getaffinity(child.pid) == {cpu}
        assert not set_cpu_affinity(child.pid, set())
        assert not set_cpu_affinity(child.pid, {100_000})


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("", set()), ("0", {0}), ("0-3,8", {0, 1, 2, 3, 8}), (" 2 , 4-5\n", {2, 4, 5})],
)
def test_list_of_cpus_is_read(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


def test_list_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        parse_cpu_list("1-three")
