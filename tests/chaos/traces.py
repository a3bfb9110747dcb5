"""What a process that shares memory has of it, and may leave behind."""

import os
from pathlib import Path

_SEGMENT = "memfd:busduct"
_KINDS = ("socket:", "anon_inode:[event", f"/{_SEGMENT}")


def num_maps() -> int:
    """Return how many maps of shared memory this process has."""
    return Path("/proc/self/maps").read_text().count(_SEGMENT)


def num_fds() -> int:
    """Return how many sockets, doorbells and segments this process has open."""
    return sum(target.startswith(_KINDS) for target in _targets(os.getpid()))


def has_named_memory(pid: int) -> bool:
    """Whether a process shares memory that has a name, which would outlive it."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return "/dev/shm/" in maps or any("/dev/shm/" in name for name in _targets(pid))


def _targets(pid: int) -> list[str]:
    targets = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            targets.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            # The descriptor of the listing itself, or closed meanwhile.
            continue
    return targets
