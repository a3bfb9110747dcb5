"""The transport in pure Python: the same classes as the native backend."""

from busduct._fallback._context import Context
from busduct._fallback._kinds import (
    DEALER,
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
from busduct._fallback._monitor import Monitor
from busduct._fallback._socket import Socket

__all__ = [
    "BACKEND",
    "DEALER",
    "PAIR",
    "PUB",
    "PULL",
    "PUSH",
    "REP",
    "REQ",
    "ROUTER",
    "SUB",
    "XPUB",
    "XSUB",
    "Context",
    "Monitor",
    "Socket",
]

BACKEND = "python"
