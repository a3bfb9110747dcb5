"""Where a directory is, where its members may be, and whose socket file lies there."""

import fcntl
import ipaddress
import os
import stat
from contextlib import suppress
from typing import NamedTuple

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.transport._runtime_dir import MAX_IPC_PATH_NBYTES

__all__ = [
    "check_address",
    "check_data_endpoint",
    "file_of",
    "is_ipc",
    "remove_file",
]

_MAX_ENDPOINT_BYTES = 255
_IPC = "ipc://"
_TCP = "tcp://"


class _Tcp(NamedTuple):
    host: str
    port: int


def is_ipc(address: str) -> bool:
    """Tell whether an address is a path on this machine."""
    return address.startswith(_IPC)


def check_address(address: str) -> None:
    """Check that others can find a directory there.

    Raises:
        ConfigError: Neither a path nor a host and a port.
    """
    if is_ipc(address) or ((tcp := _tcp_of(address)) is not None and tcp.port):
        return
    msg = (
        f"{address!r} is no address of a queue or topic: it may be ipc://PATH, or "
        "tcp://HOST:PORT with a port that all sides know"
    )
    raise ConfigError(msg)


def check_data_endpoint(endpoint: str, address: str) -> None:
    """Check that those who know the directory's address can connect to a member.

    Raises:
        RemoteProtocolError: It is not of the directory's own kind, or nowhere.
    """
    nbytes = len(os.fsencode(endpoint))
    if nbytes > _MAX_ENDPOINT_BYTES:
        msg = f"endpoint of {nbytes} bytes exceeds limit of {_MAX_ENDPOINT_BYTES} bytes"
        raise RemoteProtocolError(msg)
    if is_ipc(address):
        is_good = _is_absolute_path(endpoint)
    else:
        tcp = _tcp_of(endpoint)
        is_good = tcp is not None and tcp.port > 0 and not _is_everywhere(tcp.host)
    if not is_good:
        msg = f"endpoint {endpoint!r} cannot be that of a member at {address}"
        raise RemoteProtocolError(msg)


def file_of(address: str) -> str:
    """Return what tells the socket file at an address from others; "" if none is."""
    if not is_ipc(address):
        return ""
    try:
        status = os.lstat(address.removeprefix(_IPC))
    except OSError:
        return ""
    # NB: an inode is used again; the time of its making tells it from the one before.
    return f"{status.st_dev}-{status.st_ino}-{status.st_mtime_ns}"


def remove_file(address: str, file: str) -> None:
    """Remove the socket file at an address if it still is that one."""
    if not file or not is_ipc(address):
        return
    path = address.removeprefix(_IPC)
    with suppress(OSError):
        # Whoever binds there holds the same lock.
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            if file_of(address) == file and stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        finally:
            os.close(directory)


def _is_absolute_path(endpoint: str) -> bool:
    path = endpoint.removeprefix(_IPC)
    return (
        is_ipc(endpoint)
        and path.startswith("/")
        and "\0" not in path
        and len(os.fsencode(path)) <= MAX_IPC_PATH_NBYTES
    )


def _tcp_of(endpoint: str) -> _Tcp | None:
    host, colon, port = endpoint.removeprefix(_TCP).rpartition(":")
    is_number = port.isascii() and port.isdecimal() and len(port) <= 5
    if not endpoint.startswith(_TCP) or not host or not colon or not is_number:
        return None
    return _Tcp(host, int(port)) if int(port) < 1 << 16 else None


def _is_everywhere(host: str) -> bool:
    """Tell whether it is where one listens, and not where one connects."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return host == "*"
