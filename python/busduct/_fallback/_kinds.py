"""The kinds of sockets, and who speaks with whom."""

from typing import Final

__all__ = [
    "DEALER",
    "KIND_NAMES",
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
    "explain_mismatch",
    "is_compatible",
]

# Numbered as in libzmq, so that its constants can be passed.
PAIR: Final = 0
PUB: Final = 1
SUB: Final = 2
REQ: Final = 3
REP: Final = 4
DEALER: Final = 5
ROUTER: Final = 6
PULL: Final = 7
PUSH: Final = 8
XPUB: Final = 9
XSUB: Final = 10

KIND_NAMES: Final = {
    PAIR: "PAIR",
    PUB: "PUB",
    SUB: "SUB",
    REQ: "REQ",
    REP: "REP",
    DEALER: "DEALER",
    ROUTER: "ROUTER",
    PULL: "PULL",
    PUSH: "PUSH",
    XPUB: "XPUB",
    XSUB: "XSUB",
}

# In alphabetical order, as they are named to who does not fit.
_PEERS: Final = {
    PAIR: ("PAIR",),
    PUB: ("SUB", "XSUB"),
    SUB: ("PUB", "XPUB"),
    REQ: ("REP", "ROUTER"),
    REP: ("DEALER", "REQ"),
    DEALER: ("DEALER", "REP", "ROUTER"),
    ROUTER: ("DEALER", "REQ", "ROUTER"),
    PULL: ("PUSH",),
    PUSH: ("PULL",),
    XPUB: ("SUB", "XSUB"),
    XSUB: ("PUB", "XPUB"),
}


def is_compatible(kind: int, peer: bytes) -> bool:
    """Tell whether a socket speaks with a peer that calls itself so."""
    return any(name.encode() == peer for name in _PEERS[kind])


def explain_mismatch(kind: int, peer: bytes) -> str:
    """Say whom a socket does not speak with, and whom it does."""
    *others, last = _PEERS[kind]
    valid = f"{', '.join(others)} and {last}" if others else last
    theirs = peer[:32].decode("ascii", "backslashreplace")
    ours = KIND_NAMES[kind]
    return f"socket type {ours} does not speak with {theirs}; it speaks with {valid}"
