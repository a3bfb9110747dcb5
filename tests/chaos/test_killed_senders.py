"""Senders are killed at any moment: what they sent arrives, whole and in order."""

import random
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chaos.children import Child, nursery
from tests.chaos.kills import TIMEOUT_SECONDS, groups, report
from tests.chaos.ledger import Word
from tests.chaos.survivor import Survivor, survivor
from tests.chaos.traffic import number_of


class Taker:
    """Takes what comes, in one of several ways."""

    def __init__(self, sock: Any, way: str) -> None:
        self._sock = sock
        self._way = way
        self.numbers: list[int] = []
        self.leases: list[tuple[int, list[Any]]] = []

    def take(self) -> bool:
        """Take one message, if there is one."""
        if self._way == "copies":
            parts = self._sock.recv_multipart_nowait()
        else:
            parts = self._sock.recv_multipart_lease_nowait()
        if parts is None:
            return False
        self.numbers.append(number_of(parts))
        if self._way == "kept leases" and len(self.leases) < 30:
            self.leases.append((self.numbers[-1], parts))
        return True

    def check_leases(self) -> None:
        """Look at what was kept."""
        assert all(number_of(parts) == number for number, parts in self.leases)
        self.leases.clear()


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_all_that_a_killed_sender_sent_is_received(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    seconds: list[float] = []
    for num_kills in groups():
        # With a low mark the ring holds what was not read when the sender dies.
        mark = rng.choice([2, 1_000_000])
        with survivor(rust, "PULL", ipc_dir, rng, mark) as alive:
            make = partial(Child, "send", "PUSH", alive.endpoint)
            with nursery([make] * num_kills) as children:
                for child in children:
                    _outlive(alive, child, rng, seconds)
    report(seconds, what="senders")


def _outlive(
    alive: Survivor, child: Child, rng: random.Random, seconds: list[float]
) -> None:
    way = rng.choice(["copies", "leases", "kept leases", "late copies"])
    taker = Taker(alive.sock, way.removeprefix("late "))
    work = (lambda: False) if way.startswith("late") else taker.take
    if alive.meet(child, rng, work):
        seconds.append(alive.see_end(child))
    child.end_process()
    while alive.sock.statistics().num_peers or taker.take():
        alive.context.run_once(0.0)
    num_sent, num_begun = child.ledger[Word.SENT], child.ledger[Word.BEGUN]
    assert taker.numbers == list(range(len(taker.numbers)))
    assert num_sent <= len(taker.numbers) <= num_begun, way
    taker.check_leases()
    alive.expect_clean()
    alive.forget_events()
