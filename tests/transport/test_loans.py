"""Loans: memory is filled in place, sent once, and goes back if it is not accepted."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.joined import WAYS, filled, joined
from tests.transport.waiting import turn_until

from busduct.errors import (
    ClosedError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    WaitTimeoutError,
)

NBYTES = [0, 1, 100, 100_000, 3_000_000]


def content_of(nbytes: int) -> bytes:
    return bytes(index % 251 for index in range(min(nbytes, 251))) * (nbytes // 251 + 1)


def calls_that_end_at_once(tx: Any, loan: Any) -> list[Callable[[], Any]]:
    """Return each way to send a loan at once, or not at all."""
    return [
        partial(tx.send_nowait, loan),
        partial(tx.send_multipart_nowait, [b"first", loan]),
        partial(tx.send_urgent_nowait, [loan]),
        partial(tx.send_blocking, loan, timeout=0),
        partial(tx.send_multipart_blocking, [loan], timeout=0),
    ]


def uses_of(loan: Any) -> list[Callable[[], Any]]:
    """Return each call of a loan that needs its memory."""
    return [
        partial(len, loan),
        partial(getattr, loan, "nbytes"),
        partial(getattr, loan, "is_shared"),
        partial(loan.fill, [b"mine"]),
        loan.as_numpy,
        loan.__dlpack__,
        loan.__dlpack_device__,
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nbytes", NBYTES)
def test_what_was_filled_arrives(
    backend: ModuleType, way: str, ipc_dir: Path, nbytes: int
) -> None:
    content = content_of(nbytes)[:nbytes]
    with joined(backend, way, ipc_dir) as (tx, rx):
        tx.send_blocking(filled(tx, content))
        assert rx.recv_blocking(timeout=20) == content
        tx.send_multipart_blocking([filled(tx, content), b"", filled(tx, b"x")])
        assert rx.recv_multipart_blocking(timeout=20) == [content, b"", b"x"]
        assert tx.send_many_nowait([filled(tx, content), b"y"]) == 2
        with rx.recv_lease_blocking(timeout=20) as lease:
            assert lease.tobytes() == content
        assert rx.recv_blocking(timeout=20) == b"y"


def test_loan_has_as_many_bytes_as_were_asked_for(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        for nbytes in NBYTES:
            with tx.loan(nbytes) as loan, memoryview(loan) as view:
                assert (len(loan), loan.nbytes) == (nbytes, nbytes)
                assert (view.nbytes, view.ndim, view.itemsize) == (nbytes, 1, 1)
                assert not view.readonly
                assert view.format == "B"
                assert not loan.is_shared


def test_loan_that_was_sent_or_released_is_closed(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        sent, released = tx.loan(5), tx.loan(5)
        assert not sent.released
        tx.send_nowait(sent)
        released.release()
        for loan in (sent, released):
            assert loan.released
            for call in uses_of(loan) + calls_that_end_at_once(tx, loan):
                with pytest.raises(ClosedError):
                    call()
            loan.release()
        assert tx.statistics().num_send_queued == 1


def test_loan_of_which_a_view_is_held_is_neither_sent_nor_released(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        loan = filled(tx, b"mine")
        with memoryview(loan) as view:
            for call in [
                loan.release,
                *calls_that_end_at_once(tx, loan),
                partial(tx.send, loan),
                partial(tx.send_many, [b"", loan]),
                partial(tx.send_many_nowait, [b"", loan]),
            ]:
                with pytest.raises(BufferError):
                    call()
            assert view == b"mine"
        assert not loan.released
        assert tx.statistics().num_send_queued == 0
        tx.send_nowait(loan)
        assert tx.statistics().num_send_queued == 1


def test_loan_goes_into_one_message_once(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        loan = filled(tx, b"once")
        for call in (tx.send_multipart_nowait, tx.send_many_nowait):
            with pytest.raises(ClosedError):
                call([loan, loan])
        assert memoryview(loan) == b"once"
        assert tx.statistics().num_send_queued == 0


def test_loan_that_found_no_room_is_still_its_owners(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, immediate=True, linger=0)
        loan = filled(tx, b"mine")
        for call in calls_that_end_at_once(tx, loan):
            with pytest.raises((FullError, WaitTimeoutError)):
                call()
            assert not loan.released
            with memoryview(loan) as view:
                assert view == b"mine"
        assert tx.send_many_nowait([loan]) == 0
        with memoryview(loan) as view:
            view[:] = b"ours"
        rx = ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://late"))
        turn_until(ctx, lambda: tx.writable)
        tx.send_nowait(loan)
        assert loan.released
        assert rx.recv_blocking(timeout=20) == b"ours"


def test_of_many_loans_those_beyond_the_mark_stay(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2, linger=0)
        loans = [filled(tx, b"%d" % number) for number in range(4)]
        assert tx.send_many_nowait([b"first", *loans]) == 2
        assert [loan.released for loan in loans] == [True, False, False, False]
        assert [bytes(memoryview(loan)) for loan in loans[1:]] == [b"1", b"2", b"3"]


def test_too_large_loan_is_refused_and_stays(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, max_message_bytes=100, linger=0)
        loan = tx.loan(101)
        for call in calls_that_end_at_once(tx, loan):
            with pytest.raises(FrameTooLargeError):
                call()
        with pytest.raises(FrameTooLargeError):
            tx.send_many_nowait([b"", loan])
        assert not loan.released


def test_refused_message_leaves_its_loans(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx, rep = ctx.socket(backend.PULL), ctx.socket(backend.REP)
        loan = filled(rx, b"mine")
        for call in [
            partial(rx.send_nowait, loan),
            partial(rep.send_nowait, loan),
            partial(rx.send_multipart_nowait, [loan, 5]),
            partial(rx.send_many_nowait, [loan, "text"]),
        ]:
            with pytest.raises((LocalProtocolError, TypeError)):
                call()
            assert memoryview(loan) == b"mine"


async def test_cancelled_send_accepts_nothing_and_the_loan_is_gone(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, immediate=True, linger=0)
        loan = filled(tx, b"gone")
        sending = asyncio.ensure_future(tx.send(loan))
        await asyncio.sleep(0)
        assert loan.released
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        rx = ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://late"))
        await tx.send_many([filled(tx, b"1"), b"2", filled(tx, b"3")])
        await tx.send_urgent([filled(tx, b"4")])
        came = [await rx.recv() for _ in range(4)]
        assert sorted(came) == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("nbytes", [-1, -(2**40)])
def test_negative_loan_is_a_config_error(backend: ModuleType, nbytes: int) -> None:
    with backend.Context() as ctx, pytest.raises(ConfigError):
        ctx.socket(backend.PUSH).loan(nbytes)


@pytest.mark.parametrize("nbytes", ["5", 1.5, None])
def test_loan_of_no_number_is_a_type_error(backend: ModuleType, nbytes: Any) -> None:
    with backend.Context() as ctx, pytest.raises(TypeError):
        ctx.socket(backend.PUSH).loan(nbytes)


def test_loan_that_no_memory_holds_is_a_memory_error(backend: ModuleType) -> None:
    with backend.Context() as ctx, pytest.raises(MemoryError):
        ctx.socket(backend.PUSH).loan(2**62)


def test_closed_socket_lends_nothing(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        tx.close()
        with pytest.raises(ClosedError):
            tx.loan(5)
    with pytest.raises(ClosedError):
        tx.loan(5)


def test_loan_outlives_its_context(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        loan = ctx.socket(backend.PUSH).loan(1000)
        view = memoryview(loan)
    del ctx
    gc.collect()
    view[:] = bytes(1000)
    del loan
    gc.collect()
    assert view.tobytes() == bytes(1000)


def test_socket_sends_what_another_lent(backend: ModuleType) -> None:
    with backend.Context() as lender, backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        loan = filled(lender.socket(backend.PUSH), b"borrowed")
        lender.close()
        tx.send_blocking(loan)
        assert rx.recv_blocking(timeout=20) == b"borrowed"


def test_block_releases_what_was_not_sent(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        with tx.loan(5) as unsent:
            assert not unsent.released
        with tx.loan(5) as sent:
            tx.send_nowait(sent)
        assert unsent.released
        assert sent.released


def test_block_tells_of_views_unless_it_ends_by_an_exception(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        loan = tx.loan(5)
        with pytest.raises(BufferError), loan:
            view = memoryview(loan)
        with pytest.raises(ZeroDivisionError), loan:
            view[0] = 1 // 0
        assert not loan.released
        view.release()


def test_topic_may_be_a_loan_and_stays_it(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        pub, sub = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        sub.connect(pub.bind("inproc://a"))
        topic = filled(sub, b"news")
        sub.subscribe(topic)
        turn_until(ctx, lambda: pub.num_subscribers(topic) == 1)
        assert memoryview(topic) == b"news"
        topic.release()
        with pytest.raises(ClosedError):
            sub.subscribe(topic)


def test_undelivered_loan_is_told_as_bytes(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, linger=0)
        tx.send_nowait(filled(tx, b"lost"))
    assert tx.undelivered() == [[b"lost"]]
