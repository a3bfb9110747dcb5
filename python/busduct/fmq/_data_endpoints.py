"""Where the sockets of an `FMQ` listen that messages go to."""

import ipaddress
import itertools
import socket
from contextlib import suppress
from pathlib import Path

from busduct.errors import ConfigError
from busduct.fmq._endpoint_manager import EndpointManager
from busduct.transport._runtime_dir import RuntimeDirectory, new_instance_path

__all__ = ["DataEndpoints"]


class DataEndpoints:
    """Gives each socket an endpoint of its own that peers of its queue can reach.

    Those of an ipc address are near it, so that processes that share no more than its
    directory, as containers with one volume, find each other.

    Args:
        manager: Knows the addresses.
    """

    def __init__(self, manager: EndpointManager) -> None:
        self._manager = manager
        self._directories: dict[Path, RuntimeDirectory] = {}
        self._numbers = itertools.count()

    def endpoint(self, name: str) -> str:
        """Return an endpoint to bind, for a queue or topic.

        Raises:
            ConfigError: Not a name, a host that names no single machine, or a directory
                that makes too long a path.
            OSError: The directory cannot be made, or the host has no address.
        """
        base = self._manager.data_directory_of(name)
        if base is None:
            place = self._manager.address_of(name).removeprefix("tcp://")
            return f"tcp://{_own_host_towards(place)}:0"
        if base not in self._directories:
            self._manager.make_directory_of(name)
            self._directories[base] = RuntimeDirectory(new_instance_path(base))
        return self._directories[base].endpoint(f"d{next(self._numbers)}")

    def close(self) -> None:
        """Remove the directories. Idempotent."""
        for directory in self._directories.values():
            directory.close()
        self._directories.clear()


def _own_host_towards(place: str) -> str:
    """Return the address of this machine that who listens at `place` can reach."""
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            host = "*"
    if host in {"*", ""}:
        msg = (
            f"tcp address {place} is for listening only; "
            "name the host that others connect to"
        )
        raise ConfigError(msg)
    family, kind, protocol, _, there = socket.getaddrinfo(
        host, int(port), type=socket.SOCK_DGRAM
    )[0]
    # Connecting such a socket sends nothing; it only chooses the way.
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(there)
        own = str(probe.getsockname()[0])
    return f"[{own}]" if family == socket.AF_INET6 else own
