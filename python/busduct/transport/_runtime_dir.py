"""The private directory that holds an instance's sockets, and no longer than it lives.

A directory belongs to a living instance as long as its lock file is locked. The kernel
drops the lock when the owner ends, however it ends, so the next instance can sweep it.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from busduct._scopes import Scope
from busduct.errors import ConfigError

__all__ = [
    "MAX_IPC_PATH_NBYTES",
    "RuntimeDirectory",
    "base_directory",
    "ipc_endpoint",
    "make_private",
    "new_instance_path",
]

MAX_IPC_PATH_NBYTES = 107

_LOCK_NAME = "lock"
_BASE_LOCK_NAME = ".lock"


def base_directory(configured: str | None = None) -> Path:
    """Return the directory that instances of this user share; it may not exist yet."""
    if configured is not None:
        return Path(configured).absolute()
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime).absolute() / "busduct"
    return Path(tempfile.gettempdir()).absolute() / f"busduct-{os.getuid()}"


def new_instance_path(base: Path) -> Path:
    """Return a path under `base` that no other instance has."""
    return base / f"{os.getpid()}-{secrets.token_hex(4)}"


def ipc_endpoint(directory: Path, name: str) -> str:
    """Return the endpoint of a socket in a directory.

    A name that makes the path too long for a socket is replaced by its digest, so both
    sides of a connection come to the same one.

    Args:
        directory: Where the socket is.
        name: What it is called, without a slash.

    Raises:
        ConfigError: Not a name of a file, or even a digest makes the path too long.
    """
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        msg = f"{name!r} is not a name for a socket"
        raise ConfigError(msg)
    path = directory / name
    if len(os.fsencode(path)) > MAX_IPC_PATH_NBYTES:
        digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
        path = min(path, directory / digest, key=lambda path: len(os.fsencode(path)))
    if (nbytes := len(os.fsencode(path))) > MAX_IPC_PATH_NBYTES:
        msg = (
            f"socket path {path} has {nbytes} bytes, the limit is "
            f"{MAX_IPC_PATH_NBYTES}; choose a shorter runtime directory"
        )
        raise ConfigError(msg)
    return f"ipc://{path}"


class RuntimeDirectory(Scope):
    """A directory of mode 0700, locked until `close` removes it.

    Args:
        path: From `new_instance_path`; None for one below `base_directory`. Its parent
            is made if need be, and swept of what instances left that ended without
            closing theirs.

    Attributes:
        path: Of the directory.

    Raises:
        ConfigError: The parent is no directory of ours alone.
        OSError: What else the system refuses.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = new_instance_path(base_directory()) if path is None else path
        self.path = path
        make_private(path.parent)
        with _base_lock(path.parent):
            _sweep(path.parent)
            path.mkdir(mode=0o700)
            self._lock_fd = os.open(path / _LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def endpoint(self, name: str) -> str:
        """Return the endpoint of a socket in here, as `ipc_endpoint` does.

        Raises:
            ConfigError: Not a name of a file, or the path would be too long.
        """
        return ipc_endpoint(self.path, name)

    def close(self) -> None:
        """Remove the directory and what is in it. Idempotent."""
        if self._lock_fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock_fd)
            self._lock_fd = -1


def make_private(base: Path) -> None:
    """Make a directory of mode 0700, unless it is there.

    Raises:
        ConfigError: What is there is no directory of ours alone.
        OSError: What else the system refuses.
    """
    base.parent.mkdir(parents=True, exist_ok=True)
    base.mkdir(mode=0o700, exist_ok=True)
    # lstat: in a shared directory somebody may have put a link here first.
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        msg = f"runtime directory {base} is not a directory of user {os.getuid()}"
        raise ConfigError(msg)
    if status.st_mode & 0o077:
        msg = f"runtime directory {base} has mode {status.st_mode & 0o777:o}, not 700"
        raise ConfigError(msg)


@contextmanager
def _base_lock(base: Path) -> Iterator[None]:
    # Without it, a sweep could meet a directory between its making and its locking.
    fd = os.open(base / _BASE_LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sweep(base: Path) -> None:
    """Remove the directories of instances that are gone."""
    for entry in base.iterdir():
        if entry.is_dir() and not entry.is_symlink() and _is_abandoned(entry):
            shutil.rmtree(entry, ignore_errors=True)


def _is_abandoned(directory: Path) -> bool:
    try:
        fd = os.open(directory / _LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        # Only what looks like an instance: the base may hold the files of others.
        return _looks_like_instance(directory.name)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return _looks_like_instance(directory.name)


def _looks_like_instance(name: str) -> bool:
    pid, _, token = name.partition("-")
    return pid.isdecimal() and len(token) == 8 and set(token) <= set("0123456789abcdef")
