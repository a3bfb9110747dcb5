"""The processors that this process may use, as Linux describes them in its files."""

import math
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Core", "cpu_quota", "find_cores", "gpu_nodes", "parse_cpu_list"]

CPU = Path("sys/devices/system/cpu")
NODE = Path("sys/devices/system/node")
CGROUP = Path("sys/fs/cgroup")

# What tells fast cores from slow ones, the best first: x86 hybrids, ARM, or the clock.
SPEEDS = ("acpi_cppc/highest_perf", "cpu_capacity", "cpufreq/cpuinfo_max_freq")


@dataclass(frozen=True, slots=True)
class Core:
    """A physical core.

    Attributes:
        cpus: Its hyperthreads that may be used, as the kernel numbers them.
        node: The NUMA node of its memory.
        speed: To be compared with that of others, and 0 if it is not known.
    """

    cpus: tuple[int, ...]
    node: int
    speed: int


def parse_cpu_list(text: str) -> set[int]:
    """Read a list such as ``0-3,8``.

    Raises:
        ValueError: It is none.
    """
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def find_cores(allowed: set[int], root: Path = Path("/")) -> list[Core]:
    """Return the cores that have CPUs among those allowed, by the first CPU.

    Args:
        allowed: CPUs.
        root: Where ``sys`` is.
    """
    online = _read_cpus(root / CPU / "online")
    usable = allowed & online if online else allowed
    cpuset = _cpuset(root)
    usable = usable & cpuset or usable
    nodes = _nodes(root)
    cores = []
    left = set(usable)
    for cpu in sorted(usable):
        if cpu in left:
            topology = root / CPU / f"cpu{cpu}" / "topology"
            siblings = _read_cpus(topology / "core_cpus_list") or _read_cpus(
                topology / "thread_siblings_list"
            )
            cpus = left & siblings | {cpu}
            left -= cpus
            speed = _speed(root, cpu)
            cores.append(Core(tuple(sorted(cpus)), nodes.get(cpu, 0), speed))
    return cores


def cpu_quota(root: Path = Path("/")) -> float:
    """Return how many CPUs' worth of time the control group allows; infinite for any.

    Args:
        root: Where ``sys`` and ``proc`` are.
    """
    quota = math.inf
    for group in _cgroups(root, controller=""):
        quota = min(quota, _ratio(_read(group / "cpu.max").split()))
    for group in _cgroups(root, controller="cpu"):
        fields = [_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        quota = min(quota, _ratio(fields))
    return quota


def gpu_nodes(root: Path = Path("/")) -> tuple[int, ...]:
    """Return the NUMA node of each GPU; empty without nvidia-ml-py, or a driver.

    A GPU of which it is not known counts as of node 0.

    Args:
        root: Where ``sys`` is.
    """
    try:
        import pynvml  # type: ignore[import,unused-ignore]
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(
            _pci_node(root, pynvml.nvmlDeviceGetHandleByIndex(index), pynvml)
            for index in range(pynvml.nvmlDeviceGetCount())
        )
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _pci_node(root: Path, handle: object, pynvml: object) -> int:
    bus_id = pynvml.nvmlDeviceGetPciInfo(handle).busId  # type: ignore[attr-defined]
    text = bus_id.decode() if isinstance(bus_id, bytes) else str(bus_id)
    # Its domain has 8 digits, that of the kernel has 4.
    domain, _, rest = text.lower().partition(":")
    device = root / "sys/bus/pci/devices" / f"{domain[-4:]}:{rest}"
    return max(_read_int(device / "numa_node"), 0)


def _nodes(root: Path) -> dict[int, int]:
    """Return the node of each CPU."""
    nodes = {}
    for path in (root / NODE).glob("node[0-9]*"):
        for cpu in _read_cpus(path / "cpulist"):
            nodes[cpu] = int(path.name.removeprefix("node"))
    return nodes


def _speed(root: Path, cpu: int) -> int:
    found = (_read_int(root / CPU / f"cpu{cpu}" / name) for name in SPEEDS)
    return next((speed for speed in found if speed > 0), 0)


def _cpuset(root: Path) -> set[int]:
    """Return the CPUs that control groups allow; empty if they do not tell."""
    for group in _cgroups(root, controller=""):
        if cpus := _read_cpus(group / "cpuset.cpus.effective"):
            return cpus
    for group in _cgroups(root, controller="cpuset"):
        if cpus := _read_cpus(group / "cpuset.effective_cpus"):
            return cpus
    return set()


def _cgroups(root: Path, controller: str) -> list[Path]:
    """Return the directories of this process's group and of those around it.

    Args:
        root: As above.
        controller: Of version 1; empty for version 2.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            top = root / CGROUP / controller
            group = top / path.lstrip("/")
            # Within a container the path may be of the host, and not be there.
            around = [each for each in group.parents if each.is_relative_to(top)]
            return [group, *around]
    return []


def _ratio(fields: list[str]) -> float:
    try:
        quota, period = (int(field) for field in fields)
    except ValueError:
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _read_int(path: Path) -> int:
    try:
        return int(_read(path))
    except ValueError:
        return -1


def _read_cpus(path: Path) -> set[int]:
    try:
        return parse_cpu_list(_read(path))
    except ValueError:
        return set()
