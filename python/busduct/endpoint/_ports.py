"""How many connections the machine's ports allow to the endpoints."""

from collections.abc import Iterable
from pathlib import Path

from busduct.endpoint._urls import destination_of

__all__ = ["num_ephemeral_ports", "port_budget"]

PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What IANA sets aside, for systems that do not tell: RFC 6335, section 6.
DEFAULT_RANGE = (49152, 65535)


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
