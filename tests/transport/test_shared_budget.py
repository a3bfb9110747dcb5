"""Peers that keep what was lent to them, and peers that shall share with nobody."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zmq
from tests.transport.waiting import turn_until

pytestmark = pytest.mark.usefixtures("shared_memory")

KIB, MIB = 1 << 10, 1 << 20
BODY = bytes(range(256)) * 400


@contextmanager
def one_to_many(
    rust: ModuleType, ipc_dir: Path, count: int, isolate: bool = False, **options: Any
) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Join a PUSH, of a context with `options`, and so many PULLs of another one."""
    with ExitStack() as stack:
        # It has to write pieces while the other side reads them.
        ctx = stack.enter_context(rust.Context(io_thread=True, **options))
        others = stack.enter_context(rust.Context())
        tx = ctx.socket(rust.PUSH, isolate=isolate, linger=0.0)
        endpoint = tx.bind(f"ipc://{ipc_dir}/a")
        pulls = [others.socket(rust.PULL) for _ in range(count)]
        for rx in pulls:
            rx.connect(endpoint)

        def is_up() -> bool:
            others.run_once(0.01)
            return bool(tx.statistics().num_peers == count)

        turn_until(ctx, is_up)
        yield ctx, tx, pulls


def send_to_both(tx: Any, body: bytes) -> None:
    """Send as many messages as there are peers: each gets one."""
    tx.send_blocking(body, timeout=20)
    tx.send_blocking(body, timeout=20)


def test_who_keeps_every_lease_only_slows_the_others_down(
    rust: ModuleType, ipc_dir: Path
) -> None:
    budget = MIB
    with one_to_many(
        rust, ipc_dir, 2, shm_max_bytes=budget, shm_ring_bytes=64 * KIB
    ) as (ctx, tx, pulls):
        kept = []
        for _ in range(20):
            send_to_both(tx, BODY)
            kept.append(pulls[0].recv_lease_blocking(timeout=20))
            assert pulls[1].recv_blocking(timeout=20) == BODY
        assert 0 < sum(lease.is_shared for lease in kept) < len(kept)
        assert all(lease.tobytes() == BODY for lease in kept)
        assert ctx.statistics().shm_arena_bytes <= budget


def test_isolated_peers_share_no_segment(rust: ModuleType, ipc_dir: Path) -> None:
    for isolate, num_segments in ((False, 1), (True, 2)):
        with one_to_many(rust, ipc_dir, 2, isolate) as (ctx, tx, pulls):
            send_to_both(tx, BODY)
            for rx in pulls:
                assert rx.recv_lease_blocking(timeout=20).is_shared
            assert ctx.statistics().num_shm_segments == num_segments


def test_isolated_peer_cannot_take_what_is_set_aside_for_another(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with one_to_many(rust, ipc_dir, 2, isolate=True) as (_, tx, pulls):
        kept = []
        for _ in range(20):
            send_to_both(tx, bytes(MIB))
            kept.append(pulls[0].recv_lease_blocking(timeout=20))
            assert pulls[1].recv_lease_blocking(timeout=20).is_shared
        assert not kept[-1].is_shared


def test_only_peers_that_could_share_are_counted_as_refused(
    rust: ModuleType, ipc_dir: Path
) -> None:
    rings = {"shm_max_bytes": 64 * KIB, "shm_ring_bytes": 64 * KIB}
    with one_to_many(rust, ipc_dir, 3, **rings) as (ctx, tx, _):
        num_moved = ctx.statistics().num_shm_peers
        num_refused = ctx.statistics().num_shm_refused
        assert (num_moved, num_refused) == (1, 2)
        with zmq.Context() as zmq_context, zmq_context.socket(zmq.PULL) as rx:
            rx.connect(f"ipc://{ipc_dir}/a")
            turn_until(ctx, lambda: tx.statistics().num_peers == 4)
            assert ctx.statistics().num_shm_refused == num_refused


def num_maps(nbytes: int) -> int:
    """Return how often this process has segments of so many bytes mapped."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.partition(" ")[0].partition("-")
        found += "memfd:busduct" in line and int(end, 16) - int(start, 16) == nbytes
    return found


def test_memory_of_the_largest_is_used_again_and_given_back_when_idle(
    rust: ModuleType, ipc_dir: Path
) -> None:
    slot, segment = 20 * MIB, 20 * MIB + 4 * KIB
    with rust.Context() as ctx, rust.Context(io_thread=True) as other:
        tx, rx = ctx.socket(rust.PUSH), other.socket(rust.PULL)
        tx.connect(rx.bind(f"ipc://{ipc_dir}/a"))
        turn_until(ctx, lambda: ctx.statistics().num_shm_peers)
        for _ in range(3):
            tx.send_blocking(bytes(slot - 5), timeout=20)
            with rx.recv_lease_blocking(timeout=20) as lease:
                assert lease.is_shared
                assert ctx.statistics().shm_arena_bytes == segment
        assert num_maps(segment) == 2
        turn_until(ctx, lambda: num_maps(segment) == 0)
        assert ctx.statistics().num_shm_segments == 0
        tx.send_blocking(bytes(slot), timeout=20)
        assert rx.recv_blocking(timeout=20) == bytes(slot)
