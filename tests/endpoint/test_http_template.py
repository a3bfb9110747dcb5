"""Requests are whole, and no header can break out of its line."""

import pytest

from busduct.endpoint._http._origin import Origin
from busduct.endpoint._http._template import RequestTemplate

ORIGIN = Origin.of("http://host:8000/v1/chat?a=b")


def lines(request: bytes) -> list[str]:
    return request.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def test_request_has_what_http_asks_for() -> None:
    request = RequestTemplate(ORIGIN).build(b"{}", is_streaming=False)
    assert request == (
        b"POST /v1/chat?a=b HTTP/1.1\r\nHost: host:8000\r\n"
        b"Content-Type: application/json\r\nAccept: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_streaming_request_accepts_events() -> None:
    request = RequestTemplate(ORIGIN).build(b"", is_streaming=True)
    assert "Accept: text/event-stream" in lines(request)
    assert lines(request)[-1] == "Content-Length: 0"


def test_key_is_a_bearer_token() -> None:
    request = RequestTemplate(ORIGIN, "secret").build(b"", is_streaming=False)
    assert "Authorization: Bearer secret" in lines(request)


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://host", "host", "/"),
        ("http://host:80/a", "host", "/a"),
        ("https://host:443/a", "host", "/a"),
        ("https://host:80/a", "host:80", "/a"),
        ("http://[::1]:8000", "[::1]:8000", "/"),
        ("http://host?x=1", "host", "/?x=1"),
    ],
)
def test_url_is_taken_apart(url: str, authority: str, target: str) -> None:
    origin = Origin.of(url)
    assert (origin.authority, origin.target) == (authority, target)


def test_headers_of_a_query_are_added_or_replace() -> None:
    template = RequestTemplate(ORIGIN, "secret")
    headers = {"X-Session": "a b", "authorization": "Basic x", "Accept": "*/*"}
    for _ in range(2):
        found = lines(template.build(b"1", is_streaming=True, headers=headers))
        assert found[1:] == [
            "Host: host:8000",
            "Content-Type: application/json",
            "authorization: Basic x",
            "Accept: */*",
            "X-Session: a b",
            "Content-Length: 1",
        ]


def test_headers_of_one_query_are_not_those_of_the_next() -> None:
    template = RequestTemplate(ORIGIN)
    headers = {"X-A": "1"}
    assert "X-A: 1" in lines(template.build(b"", is_streaming=False, headers=headers))
    headers["X-A"] = "2"
    assert "X-A: 2" in lines(template.build(b"", is_streaming=False, headers=headers))
    streamed = lines(template.build(b"", is_streaming=True, headers=headers))
    assert "Accept: text/event-stream" in streamed
    assert len(lines(template.build(b"", is_streaming=False, headers={}))) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nContent-Length: 0"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\x00b"),
        ("X", "\x7f"),
        ("X\r\nY", "a"),
        ("X: Y", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("X\u00e9", "a"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
        ("Upgrade", "h2c"),
    ],
)
def test_header_that_would_break_the_request_is_refused(name: str, value: str) -> None:
    template = RequestTemplate(ORIGIN)
    with pytest.raises(ValueError, match="header"):
        template.build(b"", is_streaming=False, headers={name: value})
    # And it is not remembered.
    assert len(lines(template.build(b"", is_streaming=False))) == 5


def test_key_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        RequestTemplate(ORIGIN, "secret\r\nX: y")


@pytest.mark.parametrize("value", ["caf\u00e9", "a\tb", ""])
def test_header_value_may_be_any_text_of_one_line(value: str) -> None:
    request = RequestTemplate(ORIGIN).build(
        b"", is_streaming=False, headers={"X": value}
    )
    assert f"X: {value}" in lines(request)
