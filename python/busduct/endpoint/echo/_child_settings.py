"""What an echo server tells a process that it starts."""

import msgspec

from busduct.endpoint.echo._config import EchoConfig

__all__ = ["ChildSettings"]


class ChildSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to a process's standard input, as a line of JSON.

    Attributes:
        parent_pid: Of the process that starts it.
        listener_fd: The listening socket to serve.
        ready_fd: A pipe that gets a byte when it is served.
        config: Of the server.
    """

    parent_pid: int
    listener_fd: int
    ready_fd: int
    config: EchoConfig
