"""Whoever is asked is killed: the one who asked is told at once."""

import random
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from tests.chaos.children import Child, nursery
from tests.chaos.kills import TIMEOUT_SECONDS, groups, report
from tests.chaos.ledger import Word
from tests.chaos.survivor import Survivor, survivor
from tests.transport.waiting import turn_until

from busduct.errors import PeerLostError

NBYTES = [1, 100_000]


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_request_to_a_killed_peer_ends_at_once(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    seconds: list[float] = []
    for num_kills in groups():
        with survivor(rust, "REQ", ipc_dir, rng) as alive:
            make = partial(Child, "take_one", "REP", alive.endpoint)
            with nursery([make] * num_kills) as doomed:
                seconds += [_outlive(alive, replier, rng) for replier in doomed]
    report(seconds, what="repliers")


def _outlive(alive: Survivor, replier: Child, rng: random.Random) -> float:
    """Ask, kill whoever was asked, and return how long it took to know that."""
    alive.sock.send_blocking(bytes(rng.choice(NBYTES)), 20.0)
    turn_until(alive.context, lambda: replier.ledger[Word.RECEIVED])
    replier.kill()
    with pytest.raises(PeerLostError):
        alive.sock.recv_blocking(20.0)
    seconds = time.monotonic() - replier.killed_at
    replier.end_process()
    alive.expect_clean()
    return seconds
