"""Where a TCP server is to listen, and whether other machines reach it there."""

import ipaddress
import socket
from typing import Any, NamedTuple

from busduct.errors import ConfigError

__all__ = ["ListenAddress", "resolve_listener"]


class ListenAddress(NamedTuple):
    """What a listening socket is made of.

    Attributes:
        family: Of the socket.
        address: To bind it to; host and port come first.
        is_loopback: Whether only this machine reaches it.
    """

    family: socket.AddressFamily
    address: Any
    is_loopback: bool


def resolve_listener(host: str, port: int) -> ListenAddress:
    """Return the first address that a host has.

    Raises:
        ConfigError: It has none.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        msg = f"host {host!r} has no address: {error}"
        raise ConfigError(msg) from error
    family, address = found[0][0], found[0][4]
    is_loopback = ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback
    return ListenAddress(family, address, is_loopback)
