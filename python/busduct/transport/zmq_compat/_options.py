"""The options of one socket: what was set, and what `Context.socket` is told of it."""

from typing import Any

from busduct.transport.zmq_compat._option_checks import (
    check_range,
    check_type,
    named,
    refusal,
)
from busduct.transport.zmq_compat.constants import (
    Errno,
    SecurityMechanism,
    SocketOption,
    SocketType,
)
from busduct.transport.zmq_compat.error import ZMQError

__all__ = ["Options"]

O = SocketOption  # noqa: E741
_DAY_SECONDS = 86400.0
_UNBOUNDED = 2**31 - 1
_SENDING = {SocketType.PUB, SocketType.PUSH, SocketType.XPUB}
_RECEIVING = {SocketType.SUB, SocketType.PULL, SocketType.XSUB}
_ROUND_ROBIN = {SocketType.PUSH, SocketType.DEALER, SocketType.REQ, SocketType.PAIR}
_CONFLATING = {
    SocketType.PUSH,
    SocketType.PULL,
    SocketType.PUB,
    SocketType.SUB,
    SocketType.DEALER,
}

# libzmq's defaults.
_DEFAULTS: dict[SocketOption, int | bytes] = {
    O.ROUTING_ID: b"",
    O.SNDHWM: 1000,
    O.RCVHWM: 1000,
    O.LINGER: -1,
    O.SNDTIMEO: -1,
    O.RCVTIMEO: -1,
    O.RECONNECT_IVL: 100,
    O.RECONNECT_IVL_MAX: 0,
    O.BACKLOG: 100,
    O.MAXMSGSIZE: -1,
    O.SNDBUF: -1,
    O.RCVBUF: -1,
    O.TCP_KEEPALIVE: -1,
    O.TCP_KEEPALIVE_CNT: -1,
    O.TCP_KEEPALIVE_IDLE: -1,
    O.TCP_KEEPALIVE_INTVL: -1,
    O.IMMEDIATE: 0,
    O.CONFLATE: 0,
    O.HANDSHAKE_IVL: 30000,
    O.HEARTBEAT_IVL: 0,
    O.HEARTBEAT_TTL: 0,
    O.HEARTBEAT_TIMEOUT: -1,
    O.PROBE_ROUTER: 0,
    O.ROUTER_MANDATORY: 0,
    O.ROUTER_HANDOVER: 0,
    O.REQ_CORRELATE: 0,
    O.REQ_RELAXED: 0,
    O.XPUB_VERBOSE: 0,
    O.XPUB_NODROP: 0,
}

# Kept and told, and without effect here.
_IGNORED: dict[SocketOption, int | bytes] = {
    O.AFFINITY: 0,
    O.RATE: 100,
    O.RECOVERY_IVL: 10000,
    O.MULTICAST_HOPS: 1,
    O.MULTICAST_MAXTPDU: 1500,
    O.IPV4ONLY: 1,
    O.IPV6: 0,
    O.TOS: 0,
    O.BLOCKY: 1,
    O.CONNECT_TIMEOUT: 0,
    O.TCP_MAXRT: 0,
    O.ZAP_DOMAIN: b"",
}

_READ_ONLY: dict[SocketOption, int] = {
    O.MECHANISM: SecurityMechanism.NULL,
    O.THREAD_SAFE: 0,
    O.CURVE_SERVER: 0,
    O.PLAIN_SERVER: 0,
    O.INVERT_MATCHING: 0,
    O.USE_FD: -1,
}

_ASSIGNABLE_LATER = {O.LINGER, O.SNDTIMEO, O.RCVTIMEO, *_IGNORED}


class Options:
    """What is set on one socket, under libzmq's names and in its units.

    Attributes:
        is_fixed: The socket is bound or connected; most options cannot change any more.
        own: Options of `busduct.transport.Context.socket`, which win over the others.
    """

    def __init__(self, kind: SocketType, own: dict[str, Any]) -> None:
        self._kind = kind
        self._values = {**_DEFAULTS, **_IGNORED}
        self.is_fixed = False
        self.own = own
        if "linger" in own:
            linger = own["linger"]
            # Told at the end too, when the option may have changed.
            self._values[O.LINGER] = -1 if linger is None else int(linger * 1000)

    def get(self, option: int) -> int | bytes:
        """Return the value of an option.

        Raises:
            ZMQError: EINVAL: no such option, or one that can only be set.
        """
        name = named(option)
        if name is O.HWM:
            name = O.SNDHWM
        value = self._values.get(name, _READ_ONLY.get(name))
        if value is None:
            raise ZMQError(Errno.EINVAL, f"option {name.name} cannot be read")
        return value

    def number(self, option: SocketOption) -> int:
        """Return the value of an option that is a number."""
        value = self._values[option]
        return value if isinstance(value, int) else 0

    def seconds(self, option: SocketOption) -> float | None:
        """Return milliseconds as seconds; None where they are negative: no bound."""
        value = self.number(option)
        return None if value < 0 else value / 1000

    def set(self, option: int, value: int | bytes) -> None:
        """Set an option.

        Raises:
            NotSupportedError: busduct has no such thing.
            TypeError: A number is wanted, or bytes are.
            ZMQError: EINVAL: no such option, a value out of its range, or the option
                cannot change any more.
        """
        name = named(option, value)
        check_type(name, value)
        if name is O.HWM:
            self.set(O.SNDHWM, value)
            self.set(O.RCVHWM, value)
            return
        if name not in self._values:
            raise refusal(name)
        check_range(name, value)
        if self._values[name] == value:
            return
        if self.is_fixed and name not in _ASSIGNABLE_LATER:
            raise ZMQError(
                Errno.EINVAL,
                f"option {name.name} is fixed once the socket is bound or connected; "
                "set it before",
            )
        self._values[name] = value

    def for_core(self, *, is_bound_first: bool) -> dict[str, Any]:
        """Return the options of `busduct.transport.Context.socket`.

        Args:
            is_bound_first: The socket is about to be bound, not connected.
        """
        keepalive = self.number(O.TCP_KEEPALIVE) == 1
        first = max(self.number(O.RECONNECT_IVL), 1) / 1000
        last = self.number(O.RECONNECT_IVL_MAX) / 1000
        told: dict[str, Any] = {
            "hwm_messages": self._hwm_messages(),
            "linger": self.seconds(O.LINGER),
            "handshake_timeout": self._timeout(O.HANDSHAKE_IVL) or _DAY_SECONDS,
            "reconnect_interval": first,
            "reconnect_max": max(first, last),
            "routing_id": self._values[O.ROUTING_ID],
            "on_full": self._on_full(),
            "heartbeat_interval": self._timeout(O.HEARTBEAT_IVL),
            "heartbeat_timeout": self._timeout(O.HEARTBEAT_TIMEOUT),
            "heartbeat_ttl": self._timeout(O.HEARTBEAT_TTL),
            "backlog": max(self.number(O.BACKLOG), 1),
            "tcp_keepalive_idle": 7200.0 if keepalive else None,
            "send_buffer_bytes": max(self.number(O.SNDBUF), 0),
            "recv_buffer_bytes": max(self.number(O.RCVBUF), 0),
        }
        if self.number(O.MAXMSGSIZE) >= 0:
            told["max_message_bytes"] = max(self.number(O.MAXMSGSIZE), 1)
        told |= self._keepalive() if keepalive else {}
        told |= self._of_kind(is_bound_first)
        return told | self.own

    def _hwm_messages(self) -> int:
        marks = []
        if self._kind not in _RECEIVING:
            marks.append(self.number(O.SNDHWM))
        if self._kind not in _SENDING:
            marks.append(self.number(O.RCVHWM))
        return max(mark or _UNBOUNDED for mark in marks)

    def _on_full(self) -> str | None:
        if self.number(O.CONFLATE) and self._kind in _CONFLATING:
            return "conflate"
        if self._kind is SocketType.ROUTER and not self.number(O.ROUTER_MANDATORY):
            return "drop_new"
        if self._kind in {SocketType.PUB, SocketType.XPUB}:
            return "wait" if self.number(O.XPUB_NODROP) else "drop_new"
        return None

    def _timeout(self, option: SocketOption) -> float | None:
        milliseconds = self.number(option)
        return milliseconds / 1000 if milliseconds > 0 else None

    def _keepalive(self) -> dict[str, Any]:
        told = {
            "tcp_keepalive_idle": self.number(O.TCP_KEEPALIVE_IDLE),
            "tcp_keepalive_interval": self.number(O.TCP_KEEPALIVE_INTVL),
            "tcp_keepalive_count": self.number(O.TCP_KEEPALIVE_CNT),
        }
        return {name: value for name, value in told.items() if value > 0}

    def _of_kind(self, is_bound_first: bool) -> dict[str, Any]:
        kind = self._kind
        told: dict[str, Any] = {}
        if kind in _ROUND_ROBIN:
            # libzmq queues for endpoints that were connected to, even before the
            # connection is there; a socket that only listens queues nothing.
            told["immediate"] = is_bound_first or bool(self.number(O.IMMEDIATE))
        if kind in {SocketType.DEALER, SocketType.REQ, SocketType.ROUTER}:
            told["probe_router"] = bool(self.number(O.PROBE_ROUTER))
        if kind is SocketType.ROUTER:
            told["router_mandatory"] = bool(self.number(O.ROUTER_MANDATORY))
            told["router_handover"] = bool(self.number(O.ROUTER_HANDOVER))
        if kind is SocketType.REQ:
            told["req_correlate"] = bool(self.number(O.REQ_CORRELATE))
            told["req_relaxed"] = bool(self.number(O.REQ_RELAXED))
        if kind is SocketType.XPUB:
            told["xpub_verbose"] = bool(self.number(O.XPUB_VERBOSE))
        return told
