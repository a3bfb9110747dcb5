"""Both backends say in the same words what is wrong with loans, leases and batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from tests.transport.joined import filled

from busduct.errors import (
    ClosedError,
    ConfigError,
    FrameTooLargeError,
    LocalProtocolError,
)


@dataclass
class Ends:
    """Sockets, and what was lent by them."""

    tx: Any
    rx: Any
    closed: Any
    loan: Any
    gone_loan: Any
    sent_loan: Any
    lease: Any
    gone_lease: Any


@pytest.fixture
def ends(backend: ModuleType) -> Iterator[Ends]:
    with backend.Context() as ctx:
        options = {"max_message_bytes": 100, "linger": 0}
        tx, rx = ctx.socket(backend.PUSH, **options), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        closed = ctx.socket(backend.PULL)
        closed.close()
        loan, gone_loan, sent_loan = (filled(tx, b"mine") for _ in range(3))
        gone_loan.release()
        tx.send_many_nowait([sent_loan, b"text"])
        lease, gone_lease = (rx.recv_lease_blocking(timeout=20) for _ in range(2))
        gone_lease.release()
        yield Ends(tx, rx, closed, loan, gone_loan, sent_loan, lease, gone_lease)


def while_viewed(loan: Any, use: Callable[[], Any]) -> None:
    """Use a loan of which a view is held."""
    with memoryview(loan):
        use()


def of_two_parts(ends: Ends, receive: Callable[[], Any]) -> None:
    """Take what has two parts as if it had one."""
    ends.tx.send_multipart_nowait([b"a", b"b"])
    receive()


LOAN_CLOSED = (ClosedError, "loan is closed")
LEASE_CLOSED = (ClosedError, "lease is closed")
VIEWED = (BufferError, "views of the loan are held")
DEAF = (LocalProtocolError, "a PUSH socket cannot receive")
TWO_PARTS = (LocalProtocolError, "next message has 2 parts; use recv_multipart")
NO_DLPACK = "it is read-only, which DLPack can tell from version 1.0"

CASES: dict[str, tuple[Callable[[Ends], Any], tuple[type[Exception], str]]] = {
    "negative loan": (
        lambda e: e.tx.loan(-1),
        (ConfigError, "nbytes is -1; it must be at least 0"),
    ),
    "boundless loan": (lambda e: e.tx.loan(1 << 70), (MemoryError, "")),
    "loan of a closed socket": (
        lambda e: e.closed.loan(1),
        (ClosedError, "socket is closed"),
    ),
    "send of a released loan": (lambda e: e.tx.send(e.gone_loan), LOAN_CLOSED),
    "send of a sent loan": (lambda e: e.tx.send_nowait(e.sent_loan), LOAN_CLOSED),
    "loan twice in a message": (
        lambda e: e.tx.send_multipart_nowait([e.loan, e.loan]),
        LOAN_CLOSED,
    ),
    "loan twice in a batch": (
        lambda e: e.tx.send_many_nowait([e.loan, e.loan]),
        LOAN_CLOSED,
    ),
    "length of a sent loan": (lambda e: len(e.sent_loan), LOAN_CLOSED),
    "array of a released loan": (lambda e: e.gone_loan.as_numpy(), LOAN_CLOSED),
    "viewed loan sent": (
        lambda e: while_viewed(e.loan, lambda: e.tx.send_nowait(e.loan)),
        VIEWED,
    ),
    "viewed loan released": (lambda e: while_viewed(e.loan, e.loan.release), VIEWED),
    "too large loan": (
        lambda e: e.tx.send_nowait(e.tx.loan(101)),
        (FrameTooLargeError, "message of 101 bytes exceeds limit of 100 bytes"),
    ),
    "loan to who cannot send": (
        lambda e: e.rx.send_nowait(e.loan),
        (LocalProtocolError, "a PULL socket cannot send"),
    ),
    "send of a released lease": (lambda e: e.tx.send(e.gone_lease), LEASE_CLOSED),
    "copy of a released lease": (lambda e: e.gone_lease.tobytes(), LEASE_CLOSED),
    "array of a released lease": (lambda e: e.gone_lease.as_numpy(), LEASE_CLOSED),
    "lease by who cannot receive": (lambda e: e.tx.recv_lease_nowait(), DEAF),
    "lease of two parts": (
        lambda e: of_two_parts(e, e.rx.recv_lease_nowait),
        TWO_PARTS,
    ),
    "batch of two parts": (lambda e: of_two_parts(e, e.rx.recv_many_nowait), TWO_PARTS),
    "batches of no messages": (
        lambda e: e.rx.batches(0),
        (ConfigError, "max_n is 0 and max_bytes 1048576; both are at least 1"),
    ),
    "batches of negative size": (
        lambda e: e.rx.batches(1, -5),
        (ConfigError, "max_n is 1 and max_bytes -5; both are at least 1"),
    ),
    "array of no type": (
        lambda e: e.loan.as_numpy("float8_of_no_kind"),
        (TypeError, "ml_dtypes has no type 'float8_of_no_kind'"),
    ),
    "lease for old DLPack": (lambda e: e.lease.__dlpack__(), (BufferError, NO_DLPACK)),
    "loan on another device": (
        lambda e: e.loan.__dlpack__(dl_device=(2, 0)),
        (BufferError, "it is memory of the CPU, device (1, 0)"),
    ),
    "stream of memory": (
        lambda e: e.loan.__dlpack__(stream=1),
        (BufferError, "memory of the CPU has no stream"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_misuse_is_told_in_these_words(ends: Ends, case: str) -> None:
    call, (error, text) = CASES[case]
    with pytest.raises(error) as caught:
        call(ends)
    assert type(caught.value) is error
    assert str(caught.value) == text
    assert memoryview(ends.loan) == b"mine"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("shm", "on", 'shm is "on"; it must be "auto", "off" or "require"'),
        ("shm_max_bytes", -1, "shm_max_bytes is -1; it must be at least 1"),
        (
            "shm_ring_bytes",
            1 << 70,
            f"shm_ring_bytes is {1 << 70}; "
            "it must be a power of two from 4096 to 16777216",
        ),
        ("spin_us", -1, "spin_us is -1; it must be from 0 to 1000000"),
        ("spin_us", 1 << 70, f"spin_us is {1 << 70}; it must be from 0 to 1000000"),
    ],
)
def test_option_of_a_context_is_refused_in_these_words(
    backend: ModuleType, name: str, value: Any, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        backend.Context(**{name: value})
    assert str(caught.value) == text


@pytest.mark.parametrize("number", [1 << 63, 1 << 70])
def test_limit_beyond_all_sizes_is_none(backend: ModuleType, number: int) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        assert rx.recv_many_nowait(number, number) == []
        rx.batches(number, number)
        for call in (rx.recv_many_nowait, rx.batches, rx.loan):
            with pytest.raises(ConfigError):
                call(-number)
