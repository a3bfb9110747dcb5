"""Where the replay endpoint of a publisher is, if nobody says otherwise."""

from busduct.errors import ConfigError

__all__ = ["replay_address_of"]

MAX_PORT = 65535


def replay_address_of(address: str, asked_for: str | None = None) -> str:
    """Return the replay endpoint that belongs to a publisher's endpoint.

    Args:
        address: Bound, or connected to.
        asked_for: What was to be bound; where its port is 0, any port will do.

    Raises:
        ConfigError: A TCP port that none follows.
    """
    scheme, _, _ = address.partition("://")
    if scheme != "tcp":
        return f"{address}.replay"
    host, _, port = address.rpartition(":")
    if asked_for is not None and asked_for.endswith(":0"):
        return f"{host}:0"
    if not port.isdecimal() or int(port) >= MAX_PORT:
        msg = f"no replay address follows from {address}; give one"
        raise ConfigError(msg)
    return f"{host}:{int(port) + 1}"
