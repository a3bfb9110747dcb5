"""The settings of the HTTP service, and the address it may listen at."""

import errno
import socket
from dataclasses import dataclass, field

from busduct._listening import resolve_listener
from busduct.errors import AddressInUseError, AuthError, ConfigError

__all__ = ["ServerConfig", "bind"]


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of the HTTP service.

    Attributes:
        host: Address or name to listen at.
        port: TCP port; 0 lets the system choose.
        api_key: What clients must send as ``Authorization: Bearer KEY``, or None.
        insecure: Permit an address other than loopback without a key.
        max_body_bytes: A larger request body is refused with 413.
        body_timeout: Seconds a client may take to send its body.
        max_prompts: Prompts of one completion request.
        drain_timeout: Seconds that running requests get to finish at shutdown.
        idle_timeout: Seconds a connection may stay open without a request.

    Raises:
        ConfigError: A value out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    insecure: bool = False
    max_body_bytes: int = 4 << 20
    body_timeout: float = 30.0
    max_prompts: int = 64
    drain_timeout: float = 30.0
    idle_timeout: int = 75

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            msg = f"port is {self.port}; it must be from 0 to 65535"
            raise ConfigError(msg)
        if self.api_key is not None and not self.api_key:
            msg = "api_key is empty; give a key or None"
            raise ConfigError(msg)
        for name in ("max_body_bytes", "max_prompts", "idle_timeout"):
            if getattr(self, name) < 1:
                msg = f"{name} is {getattr(self, name)}; it must be at least 1"
                raise ConfigError(msg)
        for name in ("body_timeout", "drain_timeout"):
            if not 0 <= getattr(self, name) < float("inf"):
                msg = (
                    f"{name} is {getattr(self, name)}; it must be finite and at least 0"
                )
                raise ConfigError(msg)


def bind(config: ServerConfig) -> socket.socket:
    """Return a socket bound as `config` says, not yet listening.

    Bound before the engine starts, so that a port in use is told at once and connects
    are refused until there is something to serve.

    Raises:
        AuthError: Not loopback, with neither a key nor `insecure`.
        AddressInUseError: Somebody listens there.
        ConfigError: The host has no address.
        OSError: What else the system refuses.
    """
    family, address, is_loopback = resolve_listener(config.host, config.port)
    if not (is_loopback or config.api_key is not None or config.insecure):
        msg = (
            f"{config.host} is reachable from other machines; "
            "give an API key (BUSDUCT_API_KEY), or say --insecure"
        )
        raise AuthError(msg)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(f"{config.host}:{config.port}") from error
        raise
    return listener
