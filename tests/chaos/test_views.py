"""Views of what came stay valid, whoever dies or closes, until they are released."""

import gc
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.chaos.children import Child, child
from tests.chaos.ledger import Word
from tests.chaos.traces import num_maps
from tests.chaos.traffic import INLINE_MAX_BYTES, MIB, message, number_of
from tests.transport.waiting import turn_until

NUM_MESSAGES = 40
# It lies in one slot.
LARGE = next(n for n in range(99) if INLINE_MAX_BYTES < len(message(n)[0]) < MIB)


def expect_whole(messages: list[list[Any]]) -> None:
    """Look at every byte."""
    assert [number_of(parts) for parts in messages] == list(range(NUM_MESSAGES))


def is_holding(holder: Child, num_messages: int) -> bool:
    return holder.ledger[Word.LEASED] == num_messages


def test_views_stay_valid_until_they_are_released(
    rust: ModuleType, ipc_dir: Path
) -> None:
    # What other tests have left to it would be missed later.
    gc.collect()
    before = num_maps()
    with rust.Context(shm="require") as context:
        rx = context.socket(rust.PULL)
        endpoint = rx.bind(f"ipc://{ipc_dir}/a")
        with child("send", "PUSH", endpoint, num_messages=NUM_MESSAGES) as sender:
            messages = [
                rx.recv_multipart_lease_blocking(20.0) for _ in range(NUM_MESSAGES)
            ]
            assert sum(part.is_shared for parts in messages for part in parts) > 5
            sender.end_process()
            turn_until(context, lambda: not rx.statistics().num_peers)
        expect_whole(messages)
        rx.close()
        expect_whole(messages)
    gc.collect()
    expect_whole(messages)
    arrays = [[part.as_numpy() for part in parts] for parts in messages]
    del messages
    gc.collect()
    expect_whole(arrays)
    assert num_maps() > before
    arrays.clear()
    assert num_maps() == before


def test_slots_of_a_holder_without_a_socket_come_back_when_it_is_killed(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with rust.Context(shm="require") as context:
        tx = context.socket(rust.PUSH, linger=0.0)
        endpoint = tx.bind(f"ipc://{ipc_dir}/a")
        with child("receive", "PULL", endpoint, num_leases=20, closes=True) as holder:
            for number in range(20):
                tx.send_multipart_blocking(message(number), 20.0)
            turn_until(context, partial(is_holding, holder, 20))
            turn_until(context, lambda: not tx.statistics().num_peers)
            num_held = context.statistics().num_shm_slots_held
            assert num_held > 2
            for _ in range(20):
                context.run_once(0.001)
            assert context.statistics().num_shm_slots_held == num_held
            holder.end_process()
            turn_until(context, lambda: not context.statistics().num_shm_slots_held)
            assert holder.ledger[Word.TORN] == 0


def test_what_a_killed_peer_held_is_lent_again(rust: ModuleType, ipc_dir: Path) -> None:
    with rust.Context(shm="require") as context:
        tx = context.socket(rust.PUSH, linger=0.0)
        endpoint = tx.bind(f"ipc://{ipc_dir}/a")
        sizes = set()
        for _ in range(4):
            with child("receive", "PULL", endpoint, num_leases=8) as holder:
                for _ in range(8):
                    tx.send_multipart_blocking(message(LARGE), 20.0)
                turn_until(context, partial(is_holding, holder, 8))
                assert context.statistics().num_shm_slots_held == 8
                holder.end_process()
                turn_until(context, lambda: not tx.statistics().num_peers)
            turn_until(context, lambda: not context.statistics().num_shm_slots_held)
            sizes.add(context.statistics().shm_arena_bytes)
        assert len(sizes) == 1
