"""The transport in pure Python: the same classes as the native backend."""

from busduct._fallback._batches import Batches
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
from busduct._fallback._lease import Lease
from busduct._fallback._loan import Loan
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
    "Batches",
    "Context",
    "Lease",
    "Loan",
    "Monitor",
    "Socket",
]

BACKEND = "python"
