"""A loan is filled with bytes and texts, each copied once."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.joined import WAYS, joined

TEXT = "long text " * 60_000


@pytest.mark.parametrize("way", WAYS)
def test_parts_follow_one_another(backend: ModuleType, way: str, ipc_dir: Path) -> None:
    with joined(backend, way, ipc_dir) as (tx, rx):
        parts = [b"head", TEXT, b"", "ends: \N{GREEK SMALL LETTER OMEGA}", b"\xff"]
        body = b"head" + TEXT.encode() + b"ends: \xcf\x89\xff"
        loan = tx.loan(len(body))
        loan.fill(parts)
        assert memoryview(loan) == body
        tx.send_blocking(loan)
        assert rx.recv_blocking(timeout=20) == body


def test_loan_is_filled_again(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        loan = ctx.socket(backend.PUSH).loan(4)
        loan.fill((b"more",))
        loan.fill(["le", b"ss"])
        assert loan.freeze().tobytes() == b"less"


@pytest.mark.parametrize("parts", [[], [b"abc"], [b"abc", "de"], ["\N{EURO SIGN}" * 4]])
def test_parts_of_another_size_are_refused(
    backend: ModuleType, parts: list[bytes | str]
) -> None:
    with backend.Context() as ctx:
        loan = ctx.socket(backend.PUSH).loan(4)
        loan.fill([b"kept"])
        nbytes = sum(len(p.encode() if isinstance(p, str) else p) for p in parts)
        with pytest.raises(
            ValueError, match=f"^parts of {nbytes} bytes for a loan of 4 bytes$"
        ):
            loan.fill(parts)
        assert loan.freeze().tobytes() == b"kept"


@pytest.mark.parametrize(
    ("part", "error"),
    [(None, TypeError), (bytearray(4), TypeError), ("\ud800abc", UnicodeEncodeError)],
)
def test_what_is_neither_bytes_nor_text_is_refused(
    backend: ModuleType, part: Any, error: type[Exception]
) -> None:
    with backend.Context() as ctx:
        loan = ctx.socket(backend.PUSH).loan(4)
        with pytest.raises(error):
            loan.fill([part])


def test_loan_of_which_a_view_is_held_is_not_filled(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        loan = ctx.socket(backend.PUSH).loan(4)
        loan.fill([b"kept"])
        with memoryview(loan) as view:
            with pytest.raises(BufferError, match="views of the loan are held"):
                loan.fill([b"lost"])
            assert view == b"kept"
