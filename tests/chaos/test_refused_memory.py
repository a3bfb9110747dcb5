"""Where memory or descriptors are refused, messages go another way; none is lost."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chaos.children import child
from tests.chaos.ledger import Word
from tests.chaos.traffic import message
from tests.transport.waiting import turn_until

NUM_MESSAGES = 60
KIB, MIB = 1 << 10, 1 << 20
# Too little for a ring; for two rings and no slot; for a ring, and some slots.
BUDGETS = [1, 600 * KIB, 2 * MIB]
# Bytes of a file, which a memfd is: a control page alone; a ring; small segments.
FILE_SIZES = [0, 4 * KIB, 600 * KIB, 4 * MIB]
# One is the connection. An offer takes three, that of the peer three more, and what
# follows are segments.
SPARE_DESCRIPTORS = range(1, 13)


def expect_all_sent(rust: ModuleType, directory: Path, ours: Any, **theirs: Any) -> Any:
    """Send to a process all there is to send; return its context's statistics."""
    with rust.Context(**ours) as context:
        tx = context.socket(rust.PUSH)
        endpoint = tx.bind(f"ipc://{directory}/a")
        with child("receive", "PULL", endpoint, **theirs) as peer:
            for number in range(NUM_MESSAGES):
                tx.send_multipart_blocking(message(number), 20.0)
            ledger = peer.ledger
            turn_until(context, lambda: ledger[Word.RECEIVED] >= NUM_MESSAGES)
            assert ledger.times_received(NUM_MESSAGES) == b"\x01" * NUM_MESSAGES
            assert (ledger[Word.TORN], ledger[Word.DISORDERED]) == (0, 0)
            return context.statistics()


def expect_all_received(
    rust: ModuleType, directory: Path, ours: Any, **theirs: Any
) -> Any:
    """Receive from a process all that it sends; return our context's statistics."""
    with rust.Context(**ours) as context:
        rx = context.socket(rust.PULL)
        endpoint = rx.bind(f"ipc://{directory}/a")
        with child("send", "PUSH", endpoint, num_messages=NUM_MESSAGES, **theirs):
            for number in range(NUM_MESSAGES):
                assert rx.recv_multipart_blocking(20.0) == message(number)
            return context.statistics()


@pytest.mark.parametrize("expect_all", [expect_all_sent, expect_all_received])
@pytest.mark.parametrize("budget", BUDGETS)
def test_budget_of_ours_is_used_up(
    rust: ModuleType, ipc_dir: Path, expect_all: Any, budget: int
) -> None:
    statistics = expect_all(rust, ipc_dir, {"shm_max_bytes": budget})
    assert statistics.num_shm_refused == (budget == 1)
    assert statistics.num_shm_peers == (budget > 1)
    held = statistics.shm_ring_bytes + statistics.shm_arena_bytes
    # One message at a time may exceed it.
    assert held <= budget + 18 * MIB


@pytest.mark.parametrize("expect_all", [expect_all_sent, expect_all_received])
@pytest.mark.parametrize("budget", BUDGETS)
def test_budget_of_the_peer_is_used_up(
    rust: ModuleType, ipc_dir: Path, expect_all: Any, budget: int
) -> None:
    statistics = expect_all(rust, ipc_dir, {}, context={"shm_max_bytes": budget})
    assert statistics.num_shm_peers == (budget > 1)


@pytest.mark.parametrize("expect_all", [expect_all_sent, expect_all_received])
@pytest.mark.parametrize("file_bytes", FILE_SIZES)
def test_system_refuses_the_peer_memory(
    rust: ModuleType, ipc_dir: Path, expect_all: Any, file_bytes: int
) -> None:
    statistics = expect_all(rust, ipc_dir, {}, limits={"FSIZE": file_bytes})
    assert statistics.num_shm_peers == (file_bytes >= FILE_SIZES[2])
    assert statistics.num_shm_refused == (file_bytes < FILE_SIZES[2])


@pytest.mark.parametrize("expect_all", [expect_all_sent, expect_all_received])
@pytest.mark.parametrize("num_spare", SPARE_DESCRIPTORS)
def test_peer_has_few_descriptors_left(
    rust: ModuleType, ipc_dir: Path, expect_all: Any, num_spare: int
) -> None:
    statistics = expect_all(rust, ipc_dir, {}, limits={"NOFILE": num_spare})
    if num_spare < 7:
        assert statistics.num_shm_peers == 0
