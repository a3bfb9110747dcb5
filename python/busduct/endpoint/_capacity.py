"""How many workers the machine's CPUs allow, and connections its ports."""

import os
from collections.abc import Iterable
from pathlib import Path

from busduct.endpoint._urls import destination_of
from busduct.workers import cpu_quota

__all__ = ["num_cpus", "num_ephemeral_ports", "port_budget"]

PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What IANA sets aside, for systems that do not tell: RFC 6335, section 6.
DEFAULT_RANGE = (49152, 65535)


def num_cpus() -> int:
    """Return how many CPUs this process gets, a container's quota regarded."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return int(min(allowed, max(cpu_quota(), 1)))


def num_ephemeral_ports() -> int:
    """Return how many local ports the system gives to connections."""
    try:
        low, high = (int(text) for text in PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        low, high = DEFAULT_RANGE
    return high - low + 1


def port_budget(urls: Iterable[str]) -> int:
    """Return how many connections may be open to the hosts of resolved URLs.

    A local port serves one connection to each destination, so each destination has the
    whole range.
    """
    destinations = {destination_of(url) for url in urls}
    return num_ephemeral_ports() * max(1, len(destinations))
