"""What a process that shares memory has of it, and may leave behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SEGMENT = "memfd:busduct"
_KINDS = ("socket:", "anon_inode:[event", f"/{_SEGMENT}")


def num_maps() -> int:
    """Return how many maps of shared memory this process has."""
    return Path("/proc/self/maps").read_text().count(_SEGMENT)


def num_fds() -> int:
    """Return how many sockets, doorbells and segments this process has open."""
    return sum(_target(fd).startswith(_KINDS) for fd in os.listdir("/proc/self/fd"))


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


@contextmanager
def nothing_named(directory: Path) -> Iterator[None]:
    """Fail if something that has a name is left, in a directory or as shared memory."""
    segments = set(os.listdir("/dev/shm"))
    yield
    assert set(os.listdir("/dev/shm")) <= segments
    assert list(directory.iterdir()) == []
