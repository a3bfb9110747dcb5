"""Receivers are killed at any moment: what they had not taken goes to the next one."""

import random
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from tests.chaos.children import Child, child, nursery
from tests.chaos.kills import TIMEOUT_SECONDS, groups, report
from tests.chaos.ledger import Ledger, Word
from tests.chaos.survivor import Survivor, survivor
from tests.chaos.traffic import message
from tests.transport.waiting import turn_until

from busduct.errors import FullError

# So many are sent and not received at most.
MAX_UNDER_WAY = 200


class Feed:
    """Sends messages from the first on, as long as few are under way."""

    def __init__(self, alive: Survivor, ledger: Ledger) -> None:
        self._alive = alive
        self._ledger = ledger
        self.num_sent = 0

    def send(self) -> bool:
        """Send one message, if it may be."""
        if self.num_sent - self._ledger[Word.RECEIVED] >= MAX_UNDER_WAY:
            return False
        try:
            self._alive.sock.send_multipart_nowait(message(self.num_sent))
        except FullError:
            return False
        self.num_sent += 1
        return True


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_what_killed_receivers_did_not_take_is_received_once(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    seconds: list[float] = []
    for num_kills in groups():
        with survivor(rust, "PUSH", ipc_dir, rng) as alive, Ledger.opened() as ledger:
            _feed_the_doomed(alive, ledger, num_kills, rng, seconds)
    report(seconds, what="receivers")


def _feed_the_doomed(
    alive: Survivor,
    ledger: Ledger,
    num_kills: int,
    rng: random.Random,
    seconds: list[float],
) -> None:
    feed = Feed(alive, ledger)
    makers = [
        partial(
            Child,
            "receive",
            "PULL",
            alive.endpoint,
            ledger=ledger,
            num_leases=rng.choice([0, 0, 1, 20]),
            pause=rng.choice([0.0, 0.002]),
        )
        for _ in range(num_kills)
    ]
    num_killed_ready = 0
    with nursery(makers) as doomed:
        for victim in doomed:
            if alive.meet(victim, rng, feed.send):
                seconds.append(alive.see_end(victim))
            victim.end_process()
            # NB: one that was to die early may be, if the killer was held up.
            num_killed_ready += bool(ledger[Word.READY])
            turn_until(alive.context, lambda: not alive.sock.statistics().num_peers)
            alive.forget_events()
    with child("receive", "PULL", alive.endpoint, ledger=ledger) as last:
        num_sent = feed.num_sent
        alive.sock.send_multipart_blocking(message(num_sent), 20.0)
        turn_until(alive.context, lambda: ledger.times_received(num_sent + 1)[-1])
        _check(ledger, num_sent, num_killed_ready)
        last.end_process()
        alive.expect_clean()


def _check(ledger: Ledger, num_sent: int, num_killed: int) -> None:
    times = ledger.times_received(num_sent)
    assert (ledger[Word.TORN], ledger[Word.DISORDERED]) == (0, 0)
    assert max(times, default=0) <= 1
    # What a receiver had in its hands when it was killed, it had received.
    lost = [number for number in range(num_sent) if not times[number]]
    assert len(lost) <= num_killed, lost
