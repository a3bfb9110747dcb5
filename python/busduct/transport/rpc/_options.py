"""Settings that both ends of remote calls check alike."""

from busduct.errors import ConfigError
from busduct.transport._zmq import SocketOptions

__all__ = ["check_options", "check_seconds"]


def check_options(options: SocketOptions) -> None:
    """Refuse options of a socket with which requests or replies would be dropped.

    Raises:
        ConfigError: One of them is there.
    """
    if options.get("on_full") not in {None, "wait"}:
        msg = f"on_full is {options['on_full']!r}; remote calls need 'wait'"
        raise ConfigError(msg)
    if not options.get("router_mandatory", True):
        msg = "router_mandatory is False; remote calls need True"
        raise ConfigError(msg)
    if options.get("probe_router"):
        msg = "probe_router is True; remote calls need False"
        raise ConfigError(msg)


def check_seconds(name: str, seconds: float | None) -> None:
    """Refuse a duration that is none.

    Raises:
        ConfigError: Negative, or not a number.
    """
    if seconds is not None and not seconds >= 0:
        msg = f"{name} is {seconds!r}; it is a number of seconds, or None"
        raise ConfigError(msg)
