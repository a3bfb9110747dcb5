"""What may be set on a socket, checked."""

import operator
from dataclasses import dataclass, field
from typing import Final

from busduct._fallback._kinds import (
    DEALER,
    KIND_NAMES,
    PAIR,
    PUB,
    PULL,
    PUSH,
    REP,
    REQ,
    ROUTER,
    SUB,
    XPUB,
    XSUB,
)
from busduct._fallback._marks import Marks
from busduct.errors import ConfigError

__all__ = ["SocketOptions", "check_linger", "check_timeout"]

_MAX_HEARTBEAT_TTL: Final = 6553.5
_POLICIES: Final = ("wait", "error", "drop_new", "drop_old", "conflate")
# The default of an option that belongs to some kinds, and those kinds.
_OF_KINDS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "immediate": (False, (DEALER, PAIR, PUSH, REQ)),
    "probe_router": (False, (DEALER, REQ, ROUTER)),
    "router_mandatory": (True, (ROUTER,)),
    "router_handover": (False, (ROUTER,)),
    "req_correlate": (False, (REQ,)),
    "req_relaxed": (False, (REQ,)),
    "xpub_verbose": (False, (XPUB,)),
    "max_subscriptions": (65536, (PUB, XPUB)),
}


def _policies(kind: int) -> tuple[str, ...]:
    """Return what `on_full` may be for a kind, its default first."""
    if kind in {REQ, REP}:
        return "wait", "error"
    if kind in {PULL, SUB, XSUB}:
        return "wait", "drop_new", "drop_old", "conflate"
    if kind in {PUB, XPUB}:
        return "drop_new", "wait", "error", "drop_old", "conflate"
    return _POLICIES[:-1] if kind == ROUTER else _POLICIES


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
    on_full: str | None
    immediate: bool
    heartbeat_interval: float | None
    heartbeat_timeout: float | None
    heartbeat_ttl: float | None
    backlog: int
    tcp_keepalive_idle: float | None
    tcp_keepalive_interval: float
    tcp_keepalive_count: int
    send_buffer_bytes: int
    recv_buffer_bytes: int
    probe_router: bool
    router_mandatory: bool
    router_handover: bool
    req_correlate: bool
    req_relaxed: bool
    xpub_verbose: bool
    max_subscriptions: int
    isolate: bool
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if operator.index(self.kind) not in KIND_NAMES:
            kinds = ", ".join(f"{name} ({kind})" for kind, name in KIND_NAMES.items())
            msg = f"kind is {self.kind}; it must be one of {kinds}"
            raise ConfigError(msg)
        self._check_flags()
        self._check_counts()
        check_linger(self.linger)
        self._check_durations()
        self._check_routing_id()
        self._check_on_full()
        self._check_kind()

    def _check_flags(self) -> None:
        for name in (
            "immediate",
            "probe_router",
            "router_mandatory",
            "router_handover",
            "req_correlate",
            "req_relaxed",
            "xpub_verbose",
            "isolate",
        ):
            flag = getattr(self, name)
            if not isinstance(flag, bool):
                msg = f"{name} is a bool, not {type(flag).__name__}"
                raise TypeError(msg)

    def _check_counts(self) -> None:
        for name in (
            "hwm_messages",
            "hwm_bytes",
            "max_message_bytes",
            "max_parts",
            "max_peers",
            "backlog",
            "tcp_keepalive_count",
            "max_subscriptions",
        ):
            self._check_at_least(name, operator.index(getattr(self, name)), 1)
        for name in ("send_buffer_bytes", "recv_buffer_bytes"):
            self._check_at_least(name, operator.index(getattr(self, name)), 0)

    def _check_durations(self) -> None:
        for name in (
            "handshake_timeout",
            "reconnect_interval",
            "reconnect_max",
            "heartbeat_interval",
            "heartbeat_timeout",
            "heartbeat_ttl",
        ):
            seconds = getattr(self, name)
            is_unset = seconds is None and name.startswith("heartbeat_")
            # Written so that NaN fails.
            if not (is_unset or seconds > 0):
                msg = f"{name} is {seconds}; it must be more than 0"
                raise ConfigError(msg)
        if self.reconnect_max < self.reconnect_interval:
            msg = (
                f"reconnect_max is {self.reconnect_max}; it must be at least "
                f"reconnect_interval, which is {self.reconnect_interval}"
            )
            raise ConfigError(msg)
        if (self.heartbeat_ttl or 0.0) > _MAX_HEARTBEAT_TTL:
            msg = (
                f"heartbeat_ttl is {self.heartbeat_ttl}; "
                f"it must be at most {_MAX_HEARTBEAT_TTL}"
            )
            raise ConfigError(msg)
        if self.tcp_keepalive_idle is not None:
            self._check_at_least("tcp_keepalive_idle", self.tcp_keepalive_idle, 1)
        self._check_at_least("tcp_keepalive_interval", self.tcp_keepalive_interval, 1)

    def _check_at_least(self, name: str, value: float, least: int) -> None:
        if not value >= least:
            msg = f"{name} is {value}; it must be at least {least}"
            raise ConfigError(msg)

    def _check_routing_id(self) -> None:
        nbytes = len(self.routing_id)
        if nbytes > 255:
            msg = f"routing_id has {nbytes} bytes; it may have 255"
            raise ConfigError(msg)
        if self.routing_id[:1] == b"\0":
            msg = f"routing_id is {self.routing_id!r}; it may not start with byte 0"
            raise ConfigError(msg)

    def _check_on_full(self) -> None:
        if not isinstance(self.on_full, str | None):
            msg = f"on_full is a str, not {type(self.on_full).__name__}"
            raise TypeError(msg)
        if self.on_full is not None and self.on_full not in _policies(self.kind):
            allowed = ", ".join(sorted(_policies(self.kind)))
            msg = (
                f"on_full is {self.on_full!r}; "
                f"for {KIND_NAMES[self.kind]} it may be one of {allowed}"
            )
            raise ConfigError(msg)

    def _check_kind(self) -> None:
        for name, (default, kinds) in _OF_KINDS.items():
            value = operator.index(getattr(self, name))
            if value != default and self.kind not in kinds:
                owners = ", ".join(KIND_NAMES[kind] for kind in kinds)
                msg = f"{name} is an option of {owners}, not {KIND_NAMES[self.kind]}"
                raise ConfigError(msg)

    @property
    def marks(self) -> Marks:
        """The high-water marks of each queue."""
        return Marks(self.hwm_messages, self.hwm_bytes)

    @property
    def _limits_receiving(self) -> bool:
        """Whether `on_full` tells of the messages received."""
        return self.kind in {PULL, SUB, XSUB}

    @property
    def send_policy(self) -> str:
        """What happens to a message to be sent beyond a mark."""
        if self._limits_receiving:
            return "wait"
        return self.on_full or _policies(self.kind)[0]

    @property
    def recv_policy(self) -> str:
        """What happens to a message received beyond a mark."""
        return (self.on_full or "wait") if self._limits_receiving else "wait"


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
