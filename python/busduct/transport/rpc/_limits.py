"""What a server of remote calls holds at most."""

from dataclasses import dataclass, fields

from busduct.errors import ConfigError

__all__ = ["RpcLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits:
    """Bounds of an `RpcServer`; a call beyond them ends with ``OverloadedError``.

    A call of one client may wait while another's runs; clients take turns.

    Attributes:
        max_running: Asynchronous calls that run at once.
        max_queued: Calls that wait for that, of all clients.
        max_queued_bytes: Their bodies.
        max_queued_per_client: Calls of one client that wait.
        max_queued_bytes_per_client: Their bodies.
    """

    max_running: int = 64
    max_queued: int = 4096
    max_queued_bytes: int = 256 << 20
    max_queued_per_client: int = 1024
    max_queued_bytes_per_client: int = 64 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name == "max_running" else 0
            if type(value) is not int or value < least:
                msg = f"{field.name} is {value!r}; it is a whole number from {least}"
                raise ConfigError(msg)
