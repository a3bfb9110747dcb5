"""Peers of a ROUTER are killed at any moment: it lists what they had not taken."""

import random
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from tests.chaos.children import Child, nursery
from tests.chaos.kills import TIMEOUT_SECONDS, groups, report
from tests.chaos.ledger import Word
from tests.chaos.survivor import Survivor, survivor
from tests.chaos.traffic import message, number_of
from tests.transport.waiting import turn_until

from busduct.errors import FullError, PeerLostError

MAX_UNDER_WAY = 200
DEALER = b"dealer"


class Feed:
    """Sends to one dealer from the first message on, once it is there."""

    def __init__(self, alive: Survivor, dealer: Child) -> None:
        self._sock = alive.sock
        self._dealer = dealer
        self.num_sent = 0

    def send(self) -> bool:
        """Send one message, if the dealer is there and few are under way."""
        num_under_way = self.num_sent - self._dealer.ledger[Word.RECEIVED]
        if num_under_way >= MAX_UNDER_WAY or not self._sock.peers():
            return False
        try:
            self._sock.send_multipart_nowait([DEALER, *message(self.num_sent)])
        except (FullError, PeerLostError):
            return False
        self.num_sent += 1
        return True


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_what_a_killed_dealer_did_not_take_is_listed(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    seconds: list[float] = []
    for num_kills in groups():
        with survivor(rust, "ROUTER", ipc_dir, rng) as alive:
            makers = [
                partial(
                    Child,
                    "receive",
                    "DEALER",
                    alive.endpoint,
                    socket={"routing_id": DEALER.decode()},
                    num_leases=rng.choice([0, 1, 5, 30]),
                    pause=rng.choice([0.0, 0.002]),
                    closes=rng.random() < 0.3,
                )
                for _ in range(num_kills)
            ]
            with nursery(makers) as doomed:
                for dealer in doomed:
                    _outlive(alive, dealer, rng, seconds)
    report(seconds, what="dealers")


def _outlive(
    alive: Survivor, dealer: Child, rng: random.Random, seconds: list[float]
) -> None:
    feed = Feed(alive, dealer)
    closes = dealer.arguments["closes"] and dealer.arguments["num_leases"] > 0
    was_there = alive.meet(dealer, rng, feed.send)
    # It may have closed, and been known to have left, long before.
    if was_there and not closes:
        seconds.append(alive.see_end(dealer))
    dealer.end_process()
    turn_until(alive.context, lambda: not alive.sock.statistics().num_peers)
    with pytest.raises(PeerLostError):
        alive.sock.send_multipart_nowait([DEALER, b"too late"])
    while alive.sock.recv_multipart_nowait() is not None:
        pass
    lost = [number_of(parts[1:]) for parts in alive.sock.undelivered()]
    times = dealer.ledger.times_received(feed.num_sent)
    assert (dealer.ledger[Word.TORN], dealer.ledger[Word.DISORDERED]) == (0, 0)
    received = [number for number, count in enumerate(times) if count]
    # What it had in its hands when it was killed, it had received.
    in_hand = sorted({*range(feed.num_sent)} - {*received, *lost})
    assert sorted({*received, *in_hand, *lost}) == [*received, *in_hand, *lost]
    # NB: one that was to die early may have come to take, if the killer was held up.
    # Who closes drops what has come and was not taken, as over every transport.
    assert len(in_hand) <= bool(dealer.ledger[Word.READY]) or closes
    alive.expect_clean()
    alive.forget_events()
