"""Every pair of kinds: those that fit speak, and the others are told who would."""

from itertools import combinations_with_replacement
from types import ModuleType

import pytest
from tests.transport.waiting import eventually

from busduct.errors import RemoteProtocolError

PEERS = {
    "PAIR": ["PAIR"],
    "PUB": ["SUB", "XSUB"],
    "SUB": ["PUB", "XPUB"],
    "REQ": ["REP", "ROUTER"],
    "REP": ["DEALER", "REQ"],
    "DEALER": ["DEALER", "REP", "ROUTER"],
    "ROUTER": ["DEALER", "REQ", "ROUTER"],
    "PULL": ["PUSH"],
    "PUSH": ["PULL"],
    "XPUB": ["SUB", "XSUB"],
    "XSUB": ["PUB", "XPUB"],
}
PAIRS = list(combinations_with_replacement(PEERS, 2))


def refusal(kind: str, other: str) -> str:
    """Return what a socket says of a peer that does not fit."""
    *first, last = PEERS[kind]
    valid = f"{', '.join(first)} and {last}" if first else last
    return f"socket type {kind} does not speak with {other}; it speaks with {valid}"


@pytest.mark.parametrize("transport", ["stream", "inproc"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
async def test_kinds_speak_or_tell_who_would(
    backend: ModuleType, left: str, right: str, transport: str
) -> None:
    at = "inproc://here" if transport == "inproc" else "tcp://127.0.0.1:0"
    async with backend.Context() as ctx:
        ours, theirs = (ctx.socket(getattr(backend, kind)) for kind in (left, right))
        theirs.connect(ours.bind(at))
        if right in PEERS[left]:
            assert left in PEERS[right]
            await eventually(lambda: ours.statistics().num_peers == 1)
            await eventually(lambda: theirs.statistics().num_peers == 1)
            return
        for sock, kind, other in ((ours, left, right), (theirs, right, left)):
            (error, *_) = await eventually(sock.recent_errors)
            assert type(error) is RemoteProtocolError
            assert refusal(kind, other) in str(error) or "peer refused" in str(error)
            assert sock.statistics().num_peers == 0
        assert any(
            refusal(kind, other) in str(sock.recent_errors()[0])
            for sock, kind, other in ((ours, left, right), (theirs, right, left))
        )


def test_every_pair_agrees_on_whether_it_fits() -> None:
    assert all((a in PEERS[b]) == (b in PEERS[a]) for a in PEERS for b in PEERS)
