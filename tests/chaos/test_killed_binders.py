"""Whoever bound is killed: the next one binds, and its peers come to it."""

import gc
from functools import partial
from pathlib import Path
from types import ModuleType

from tests.chaos.children import Child, nursery
from tests.chaos.ledger import Word
from tests.chaos.traces import num_maps
from tests.chaos.traffic import message
from tests.transport.waiting import turn_until

NUM_LIVES = 4
NUM_MESSAGES = 20


def test_the_next_binds_where_one_was_killed(rust: ModuleType, ipc_dir: Path) -> None:
    endpoint = f"ipc://{ipc_dir}/a"
    # What other tests have left to it would be missed later.
    gc.collect()
    before = num_maps()
    with rust.Context(shm="require") as context:
        rx = context.socket(rust.PULL, reconnect_interval=0.01, reconnect_max=0.05)
        rx.connect(endpoint)
        make = partial(Child, "send", "PUSH", endpoint, way="bind")
        with nursery([make] * NUM_LIVES) as doomed:
            for sender in doomed:
                for number in range(NUM_MESSAGES):
                    assert rx.recv_multipart_blocking(20.0) == message(number)
                sender.end_process()
                turn_until(context, lambda: not rx.statistics().num_peers)
                num_taken = NUM_MESSAGES
                while (parts := rx.recv_multipart_nowait()) is not None:
                    assert parts == message(num_taken)
                    num_taken += 1
                assert num_taken >= sender.ledger[Word.SENT]
                turn_until(context, lambda: num_maps() == before)
        # What the last one left is a socket that nobody serves: it is taken over.
        with rust.Context() as last:
            last.socket(rust.PUSH).bind(endpoint)
    assert not (ipc_dir / "a").exists()
