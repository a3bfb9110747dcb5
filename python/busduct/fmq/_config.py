"""The settings of queues and topics."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec

from busduct._fallback._endpoint import parse_endpoint
from busduct.errors import ConfigError
from busduct.fmq._config_checks import check_fields, check_name, nearest
from busduct.transport._runtime_dir import base_directory

__all__ = [
    "PROTOCOLS",
    "Config",
    "Endpoint",
    "EndpointType",
    "Role",
    "SocketOptions",
    "default_ipc_root",
]

PROTOCOLS = ("ipc", "tcp")
MAX_IO_THREADS = 1024

_NumIoThreads = Annotated[int, msgspec.Meta(ge=0, le=MAX_IO_THREADS)]
# What a queue's protocol can say, and a kernel takes.
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class EndpointType(Enum):
    """What an endpoint is for."""

    QUEUE = "queue"
    TOPIC = "topic"


class Role(Enum):
    """What a queue object does."""

    PRODUCER = "producer"
    CONSUMER = "consumer"


class SocketOptions(msgspec.Struct, frozen=True):
    """Bounds of all queues and topics, under the names that ZeroMQ has for them.

    Attributes:
        sndhwm: Messages that a producer holds until they are acknowledged; 0 for no
            bound but that of bytes (`QueueOptions.hwm_messages`).
        rcvhwm: Messages that a consumer is sent ahead of its acknowledgements, by each
            producer; 0 for no bound but that of bytes
            (`QueueOptions.prefetch_messages`).
        linger: Milliseconds that close goes on handing over; -1 for no bound.
        sndbuf: Bytes of the kernel's buffer of each connection; 0 to let it choose.
        rcvbuf: As above.
        immediate: 1 or true: `put` waits until there is a consumer.

    Raises:
        ConfigError: A value of another type, or out of its range.
    """

    sndhwm: _Count = 10_000
    rcvhwm: _Count = 256
    linger: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 31) - 1)] = 5000
    sndbuf: _Count = 0
    rcvbuf: _Count = 0
    immediate: Annotated[int, msgspec.Meta(ge=0, le=1)] | bool = False

    def __post_init__(self) -> None:
        check_fields(self)


class Endpoint(msgspec.Struct, frozen=True):
    """Where the members of one queue or topic meet.

    Attributes:
        protocol: ``ipc`` or ``tcp``.
        address: A path that is not relative, or ``host:port``. None for the automatic
            path.
        io_threads: As in `Config`, which it is where this is None.
        copy: As in `Config`, which it is where this is None.

    Raises:
        ConfigError: A value of another type, or no such address.
    """

    protocol: str
    address: str | None = None
    io_threads: _NumIoThreads | None = None
    copy: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        _check_protocol("protocol", self.protocol)
        if self.address is not None:
            _check_address(self.protocol, self.address)


def default_ipc_root() -> str:
    """Return the directory of this user's queues, which may not exist yet."""
    return str(base_directory() / "fmq")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an `FMQ`.

    Attributes:
        ipc_root: The directory of automatic endpoints, ``fmq_NAME.ipc`` in it; a path
            that is not relative.
        io_threads: 0 and 1: bytes are moved by the event loop itself, which is
            quickest. 2 and more: by one thread beside it, for a program that keeps its
            loop busy for long. The highest that any endpoint asks for counts, as all
            queues of an `FMQ` share one context.
        copy: Buffers and arrays arrive in memory of their own, which can be written,
            rather than as read-only views of what was received.
        default_protocol: Of queues whose endpoint does not say; ``tcp`` needs an
            address for each.
        endpoints: By name of the queue or topic.
        socket_config: Bounds.

    Raises:
        ConfigError: A value of another type, or out of its range.
    """

    ipc_root: str = msgspec.field(default_factory=default_ipc_root)
    io_threads: _NumIoThreads = 1
    copy: bool = False
    default_protocol: str = "ipc"
    endpoints: dict[str, Endpoint] = msgspec.field(default_factory=dict)
    socket_config: SocketOptions = msgspec.field(default_factory=SocketOptions)

    def __post_init__(self) -> None:
        check_fields(self)
        _check_protocol("default_protocol", self.default_protocol)
        if not Path(self.ipc_root).is_absolute() or "\0" in self.ipc_root:
            msg = f"ipc_root is {self.ipc_root!r}; it must be a path from the root"
            raise ConfigError(msg)
        for name in self.endpoints:
            check_name(name)


def _check_protocol(name: str, value: str) -> None:
    if value not in PROTOCOLS:
        msg = (
            f"{name} is {value!r}; it must be {' or '.join(PROTOCOLS)}; "
            f"did you mean {nearest(value, PROTOCOLS)!r}?"
        )
        raise ConfigError(msg)


def _check_address(protocol: str, address: str) -> None:
    if protocol == "tcp":
        _check_tcp(address)
    elif not Path(address).is_absolute() or "\0" in address or address.endswith("/"):
        msg = f"address is {address!r}; of ipc it must be a file's path from the root"
        raise ConfigError(msg)


def _check_tcp(address: str) -> None:
    try:
        endpoint = parse_endpoint(f"tcp://{address}")
    except ValueError as error:
        msg = f"address is {address!r}; of tcp it must be host:port ({error})"
        raise ConfigError(msg) from error
    # It is where some bind and the others connect to.
    if endpoint.host == "*" or endpoint.port == 0:
        msg = f"address is {address!r}; both sides must know the host and the port"
        raise ConfigError(msg)
