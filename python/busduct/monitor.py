"""What can happen to the connections of a socket."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from busduct.errors import BusductError

__all__ = ["EventKind", "MonitorEvent"]

EventKind: TypeAlias = Literal[
    "listening",
    "accepted",
    "connected",
    "disconnected",
    "handshake_failed",
    "retried",
    "refused",
    "closed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorEvent:
    """One thing that happened to a connection.

    Attributes:
        kind: ``listening``: bound. ``accepted``: a connection came in, its handshake
            begins. ``connected``: a handshake, of either side, is complete.
            ``disconnected``: a connection that had been connected ended.
            ``handshake_failed``: one ended before that. ``retried``: an attempt to
            connect failed, or its connection ended, and is put off. ``refused``: a peer
            was turned away (another uid, the connection cap, a routing id in use, a
            second peer of a PAIR). ``closed``: listening ended.
        endpoint: Bound or connected to; the same text as `Socket.bind` returned or
            `Socket.connect` was given.
        routing_id: Of the peer, once it is connected to a ROUTER; else b"".
        error: Why, where that is known.
    """

    kind: EventKind
    endpoint: str
    routing_id: bytes = b""
    error: BusductError | None = None
