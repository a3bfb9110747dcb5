"""Errors carry what the endpoint said, and no more than a line of it."""

import email.utils
import time

import pytest

from busduct.endpoint._http._errors import header, retry_after, status_error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"3", 3.0),
        (b" 120 ", 120.0),
        (b"0", 0.0),
        (None, None),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"soon", None),
        (b"9" * 400, None),
        (b"\xff\xfe", None),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (b"Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds(value: bytes | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    found = retry_after(date.encode())
    assert found is not None
    assert 30 < found < 61


@pytest.mark.parametrize("name", [b"Retry-After", b"retry-after", b"RETRY-after"])
def test_header_is_found_in_any_case(name: bytes) -> None:
    headers = {b"A": b"b", name: b"1", b"C": b"d"}
    assert header(headers, b"retry-after") == b"1"
    assert header(headers, b"retry") is None


def test_body_of_an_error_is_cut_and_may_be_anything() -> None:
    error = status_error(503, {b"retry-after": b"7"}, b"\xff" + b"x" * 100_000)
    assert (error.error_type, error.status, error.retry_after) == ("http", 503, 7.0)
    assert error.error_message == "\ufffd" + "x" * 511
