"""A frozen loan is a lease of what was filled, sent as often as one likes."""

import gc
from pathlib import Path
from types import ModuleType

import pytest
from tests.transport.joined import WAYS, filled, joined
from tests.transport.test_loans import calls_that_end_at_once, uses_of
from tests.transport.waiting import turn_until

from busduct.errors import ClosedError

BODY = bytes(range(256)) * 1000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [b"", b"small", BODY])
def test_frozen_loan_is_sent_many_times(
    backend: ModuleType, way: str, ipc_dir: Path, body: bytes
) -> None:
    with joined(backend, way, ipc_dir) as (tx, rx):
        lease = filled(tx, body).freeze()
        for _ in range(2):
            tx.send_blocking(lease)
            assert rx.recv_blocking(timeout=20) == body
        tx.send_multipart_blocking([lease, lease])
        assert rx.recv_multipart_blocking(timeout=20) == [body, body]
        assert not lease.released
        assert lease.tobytes() == body


def test_frozen_loan_is_read_only(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        lease = filled(ctx.socket(backend.PUSH), b"mine").freeze()
        assert type(lease) is backend.Lease
        assert (len(lease), lease.nbytes, lease.is_shared) == (4, 4, False)
        with memoryview(lease) as view:
            assert view.readonly
            assert view == b"mine"


def test_loan_that_was_frozen_is_given_up(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        loan = filled(tx, b"mine")
        lease = loan.freeze()
        assert loan.released
        for call in [*uses_of(loan), *calls_that_end_at_once(tx, loan), loan.freeze]:
            with pytest.raises(ClosedError, match="loan"):
                call()
        loan.release()
        assert lease.tobytes() == b"mine"


def test_loan_of_which_a_view_is_held_is_not_frozen(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        loan = filled(ctx.socket(backend.PUSH), b"mine")
        with memoryview(loan) as view:
            with pytest.raises(BufferError):
                loan.freeze()
            assert view == b"mine"
        assert not loan.released
        assert loan.freeze().tobytes() == b"mine"


def test_loan_that_nobody_looked_at_is_frozen_as_zeros(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        lease = ctx.socket(backend.PUSH).loan(1000).freeze()
        assert lease.tobytes() == bytes(1000)


def test_frozen_loan_outlives_its_context(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        view = memoryview(filled(ctx.socket(backend.PUSH), b"mine").freeze())
    del ctx
    gc.collect()
    assert view == b"mine"


@pytest.mark.usefixtures("shared_memory")
def test_frozen_loan_holds_one_slot_however_often_it_is_sent(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with rust.Context() as ctx:
        tx, rx = ctx.socket(rust.PUSH), ctx.socket(rust.PULL)
        tx.connect(rx.bind(f"ipc://{ipc_dir}/a"))
        turn_until(ctx, lambda: ctx.statistics().num_shm_peers == 2)
        lease = filled(tx, BODY).freeze()
        assert lease.is_shared
        for _ in range(3):
            tx.send_nowait(lease)
            with rx.recv_lease_blocking(timeout=20) as received:
                assert received.is_shared
                assert ctx.statistics().num_shm_slots_held == 1
                assert received.tobytes() == BODY
        lease.release()
        turn_until(ctx, lambda: ctx.statistics().num_shm_slots_held == 0)


@pytest.mark.usefixtures("shared_memory")
def test_frozen_loan_that_the_peer_still_holds_is_copied(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with joined(rust, "ipc", ipc_dir) as (tx, rx):
        lease = filled(tx, BODY).freeze()
        tx.send_nowait(lease)
        first = rx.recv_lease_blocking(timeout=20)
        tx.send_nowait(lease)
        second = rx.recv_lease_blocking(timeout=20)
        first.release()
        lease.release()
        tx.send_nowait(filled(tx, bytes(len(BODY))))
        assert rx.recv_blocking(timeout=20) == bytes(len(BODY))
        assert second.tobytes() == BODY
