"""The kinds of sockets and what may be set on one, checked."""

import operator
from dataclasses import dataclass
from typing import Final

from busduct.errors import ConfigError

__all__ = [
    "DEALER",
    "KIND_NAMES",
    "PART_OVERHEAD_NBYTES",
    "PULL",
    "PUSH",
    "ROUTER",
    "Marks",
    "SocketOptions",
    "message_cost",
]

# Numbered as in libzmq, so that its constants can be passed.
DEALER: Final = 5
ROUTER: Final = 6
PULL: Final = 7
PUSH: Final = 8

KIND_NAMES: Final = {DEALER: "DEALER", ROUTER: "ROUTER", PULL: "PULL", PUSH: "PUSH"}

# What a part counts in a queue besides its payload, the same as in the native backend.
PART_OVERHEAD_NBYTES: Final = 96


def message_cost(parts: list[bytes]) -> int:
    """Return what a message counts in a queue that is bounded by bytes."""
    total = len(parts) * PART_OVERHEAD_NBYTES
    for part in parts:
        total += len(part)
    return total


@dataclass(frozen=True, slots=True)
class Marks:
    """A high-water mark, by messages and by bytes."""

    messages: int
    nbytes: int

    def admit(self, num_queued: int, nbytes: int, extra: int) -> bool:
        """Tell whether a queue takes one more message; an empty one takes any."""
        return num_queued == 0 or (
            num_queued < self.messages and nbytes + extra <= self.nbytes
        )

    def is_low(self, num_queued: int, nbytes: int) -> bool:
        """Tell whether a queue fell so far that who waits for it should go on."""
        return num_queued <= self.messages // 2 and nbytes <= self.nbytes // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """The options of a socket, as `Context.socket` documents them."""

    kind: int
    hwm_messages: int
    hwm_bytes: int
    linger: float | None
    max_message_bytes: int
    max_parts: int
    max_peers: int
    handshake_timeout: float
    reconnect_interval: float
    reconnect_max: float
    routing_id: bytes

    def __post_init__(self) -> None:
        if operator.index(self.kind) not in KIND_NAMES:
            kinds = ", ".join(f"{name} ({kind})" for kind, name in KIND_NAMES.items())
            msg = f"kind is {self.kind}; it must be one of {kinds}"
            raise ConfigError(msg)
        for name in (
            "hwm_messages",
            "hwm_bytes",
            "max_message_bytes",
            "max_parts",
            "max_peers",
        ):
            if operator.index(getattr(self, name)) < 1:
                msg = f"{name} is {getattr(self, name)}; it must be at least 1"
                raise ConfigError(msg)
        check_linger(self.linger)
        self._check_intervals()
        self._check_routing_id()

    def _check_intervals(self) -> None:
        for name in ("handshake_timeout", "reconnect_interval", "reconnect_max"):
            seconds = getattr(self, name)
            # Written so that NaN fails.
            if not seconds > 0:
                msg = f"{name} is {seconds}; it must be more than 0"
                raise ConfigError(msg)
        if self.reconnect_max < self.reconnect_interval:
            msg = (
                f"reconnect_max is {self.reconnect_max}; it must be at least "
                f"reconnect_interval, which is {self.reconnect_interval}"
            )
            raise ConfigError(msg)

    def _check_routing_id(self) -> None:
        nbytes = len(self.routing_id)
        if nbytes > 255:
            msg = f"routing_id has {nbytes} bytes; it may have 255"
            raise ConfigError(msg)
        if self.routing_id[:1] == b"\0":
            msg = f"routing_id is {self.routing_id!r}; it may not start with byte 0"
            raise ConfigError(msg)

    @property
    def marks(self) -> Marks:
        """The high-water marks of each queue."""
        return Marks(self.hwm_messages, self.hwm_bytes)


def check_linger(linger: float | None) -> None:
    """Check a linger.

    Raises:
        ConfigError: Negative, or not a number.
    """
    if linger is not None and not linger >= 0:
        msg = f"linger is {linger}; it must be None, or at least 0"
        raise ConfigError(msg)


def check_timeout(timeout: float | None) -> None:
    """Check how long a call may wait.

    Raises:
        ConfigError: Negative, or not a number.
    """
    if timeout is not None and not timeout >= 0:
        msg = f"timeout is {timeout}; it must be None, or at least 0"
        raise ConfigError(msg)
