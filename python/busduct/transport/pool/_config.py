"""How a pool of workers is carried; what can go to another process as JSON."""

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import msgspec

from busduct.errors import ConfigError
from busduct.transport._ranges import (
    require_at_least,
    require_at_most,
    require_one_of,
)

if TYPE_CHECKING:
    from busduct.transport.pool._protocols import WorkerPoolTransport

__all__ = [
    "AnyTransportConfig",
    "InprocTransportConfig",
    "ShmTransportConfig",
    "TransportConfig",
    "ZMQTransportConfig",
    "with_overrides",
]

# Named here because configs have a field that is called `type`.
PoolType: TypeAlias = "type[WorkerPoolTransport]"

ConfigT = TypeVar("ConfigT", bound="TransportConfig")

# Sockets have no way to say that there is none.
_NO_MARK = 1 << 31


class TransportConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="type",
):
    """What every transport of a pool can be told.

    Attributes:
        recv_buffer_size: Bytes of the kernel's buffer of each connection; 0 to let it
            choose. Messages may be larger.
        send_buffer_size: As above.
        max_message_bytes: Of one message as it is encoded; a larger one is refused.
        max_queued_bytes: Queued for one worker, and from one worker, at each side.
        high_water_mark: Messages of those; 0 for no limit but that of bytes.
        linger: Milliseconds that closing goes on sending; -1 for no bound.

    Raises:
        ConfigError: A value out of its range, or of another type.
    """

    recv_buffer_size: int = 0
    send_buffer_size: int = 0
    max_message_bytes: int = 1 << 30
    max_queued_bytes: int = 256 << 20
    high_water_mark: int = 0
    linger: int = 1000

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.type is int and type(value) is not int:
                msg = f"{field.name} is {value!r}; it is an integer"
                raise ConfigError(msg)
        require_at_least(
            0,
            recv_buffer_size=self.recv_buffer_size,
            send_buffer_size=self.send_buffer_size,
            high_water_mark=self.high_water_mark,
        )
        require_at_least(
            1,
            max_message_bytes=self.max_message_bytes,
            max_queued_bytes=self.max_queued_bytes,
        )
        require_at_least(-1, linger=self.linger)

    @property
    def transport_class(self) -> PoolType:
        """The pool that it configures."""
        raise NotImplementedError

    def linger_seconds(self) -> float | None:
        """Return the linger as sockets take it."""
        return None if self.linger < 0 else self.linger / 1000

    def receiving_options(self) -> dict[str, Any]:
        """Return the options of each socket that receives."""
        return {
            "hwm_messages": self.high_water_mark or _NO_MARK,
            "hwm_bytes": self.max_queued_bytes,
            "linger": self.linger_seconds(),
            "max_message_bytes": self.max_message_bytes,
            "recv_buffer_bytes": self.recv_buffer_size,
            "send_buffer_bytes": self.send_buffer_size,
        }

    def sending_options(self) -> dict[str, Any]:
        """Return the options of each socket that sends."""
        return self.receiving_options()

    def context_options(self) -> dict[str, Any]:
        """Return the options of the pool's context."""
        return {}

    def worker_context_options(self) -> dict[str, Any]:
        """Return the options of a worker's context."""
        return {}


class ZMQTransportConfig(TransportConfig, frozen=True, kw_only=True, tag="zmq"):
    """Over Unix sockets on ZeroMQ's wire, and through shared memory where both can.

    Attributes:
        io_threads: From 1 on, a thread of the pool's own moves bytes; 0 for none.
        worker_io_threads: As above, of each worker.
        immediate: 1 to refuse queries of a worker that is not connected, rather than
            queueing them.
    """

    # As a keyword it is what callers of mlcommons/endpoints pass; on the wire it is
    # the tag, so that this one, which always has its default, is left out.
    type: Literal["zmq"] = msgspec.field(default="zmq", name="")
    io_threads: int = 0
    worker_io_threads: int = 0
    immediate: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(("zmq",), type=self.type)
        threads = {
            "io_threads": self.io_threads,
            "worker_io_threads": self.worker_io_threads,
        }
        require_at_least(0, **threads, immediate=self.immediate)
        require_at_most(1, immediate=self.immediate)

    @property
    def transport_class(self) -> PoolType:
        """`ZmqWorkerPoolTransport`."""
        from busduct.transport.pool._transports import ZmqWorkerPoolTransport

        return ZmqWorkerPoolTransport

    def sending_options(self) -> dict[str, Any]:
        """Return the options of each socket that sends."""
        return self.receiving_options() | {"immediate": bool(self.immediate)}

    def context_options(self) -> dict[str, Any]:
        """Return the options of the pool's context."""
        return {"io_thread": self.io_threads > 0}

    def worker_context_options(self) -> dict[str, Any]:
        """Return the options of a worker's context."""
        return {"io_thread": self.worker_io_threads > 0}


class ShmTransportConfig(TransportConfig, frozen=True, kw_only=True, tag="shm"):
    """Through shared memory, or not at all.

    Attributes:
        shm_max_bytes: As of `Context`, of the pool and of each worker.
        shm_ring_bytes: As of `Context`.
        spin: Seconds that a receive looks at shared memory before it sleeps.
    """

    type: Literal["shm"] = msgspec.field(default="shm", name="")
    shm_max_bytes: int = 256 << 20
    shm_ring_bytes: int = 512 << 10
    spin: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(("shm",), type=self.type)
        if type(self.spin) not in {int, float} or not 0 <= self.spin <= 1:
            msg = f"spin is {self.spin!r}; it is a number from 0 to 1"
            raise ConfigError(msg)
        require_at_least(0, shm_max_bytes=self.shm_max_bytes)
        ring_bits = math.log2(self.shm_ring_bytes) if self.shm_ring_bytes > 0 else -1
        if ring_bits not in range(12, 25):
            msg = (
                f"shm_ring_bytes is {self.shm_ring_bytes}; "
                f"it is a power of two from 4096 to {1 << 24}"
            )
            raise ConfigError(msg)

    @property
    def transport_class(self) -> PoolType:
        """`ShmWorkerPoolTransport`."""
        from busduct.transport.pool._transports import ShmWorkerPoolTransport

        return ShmWorkerPoolTransport

    def context_options(self) -> dict[str, Any]:
        """Return the options of the pool's context."""
        return {
            "shm": "require",
            "shm_max_bytes": self.shm_max_bytes,
            "shm_ring_bytes": self.shm_ring_bytes,
            "spin_us": round(self.spin * 1e6),
        }

    def worker_context_options(self) -> dict[str, Any]:
        """Return the options of a worker's context."""
        return self.context_options()


class InprocTransportConfig(TransportConfig, frozen=True, kw_only=True, tag="inproc"):
    """Between tasks of one loop, for tests and for workers that are no processes."""

    type: Literal["inproc"] = msgspec.field(default="inproc", name="")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(("inproc",), type=self.type)

    @property
    def transport_class(self) -> PoolType:
        """`InprocWorkerPoolTransport`."""
        from busduct.transport.pool._transports import InprocWorkerPoolTransport

        return InprocWorkerPoolTransport


AnyTransportConfig: TypeAlias = (
    ZMQTransportConfig | ShmTransportConfig | InprocTransportConfig
)


def with_overrides(
    kind: type[ConfigT], config: TransportConfig | None, overrides: dict[str, Any]
) -> ConfigT:
    """Return a config of one kind with some settings replaced.

    Args:
        kind: Of the config.
        config: None for the defaults.
        overrides: Settings by name.

    Raises:
        ConfigError: A config of another kind, or a setting that is unknown or wrong.
    """
    config = kind() if config is None else config
    if not isinstance(config, kind):
        msg = f"config is a {type(config).__name__}; it is a {kind.__name__}"
        raise ConfigError(msg)
    if unknown := sorted(set(overrides) - set(kind.__struct_fields__)):
        msg = (
            f"{unknown[0]} is no setting of {kind.__name__}; "
            f"there are {', '.join(kind.__struct_fields__)}"
        )
        raise ConfigError(msg)
    return msgspec.structs.replace(config, **overrides)
