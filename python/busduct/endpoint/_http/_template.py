"""The bytes of a request: what all have in common is made once."""

import re

from busduct.endpoint._http._origin import Origin

# RFC 9110, 5.6.2: a name is a token; 5.5: a value has no control character but the tab.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# How long the body is and what becomes of the connection is for us to say: a second
# opinion would let one request pass for two.
_OURS = frozenset(
    ("connection", "content-length", "expect", "te", "trailer", "upgrade")
) | {"transfer-encoding"}


class RequestTemplate:
    """Make POST requests of one endpoint.

    Args:
        origin: Of the endpoint.
        api_key: Sent as a bearer token; None for no authorization.

    Raises:
        ValueError: A key that no header can hold.
    """

    def __init__(self, origin: Origin, api_key: str | None = None) -> None:
        self._request_line = f"POST {origin.target} HTTP/1.1\r\n"
        self._headers = {"host": ("Host", origin.authority)}
        self._headers["content-type"] = ("Content-Type", "application/json")
        if api_key is not None:
            self._put(self._headers, "Authorization", f"Bearer {api_key}")
        self._plain = self._head("application/json", {})
        self._streaming = self._head("text/event-stream", {})
        self._last: tuple[dict[str, str], bool, bytes] = ({}, False, self._plain)

    def build(
        self, body: bytes, *, is_streaming: bool, headers: dict[str, str] | None = None
    ) -> bytes:
        """Return a whole request.

        Args:
            body: As JSON.
            is_streaming: Whether a stream of events is asked for.
            headers: Of this request; they replace those of the template.

        Raises:
            ValueError: A header that would break the request apart, or that says how it
                is framed.
        """
        if headers:
            head = self._head_with(headers, is_streaming)
        else:
            head = self._streaming if is_streaming else self._plain
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)

    def _head_with(self, headers: dict[str, str], is_streaming: bool) -> bytes:
        # Mostly all queries of a caller have the same ones.
        last_headers, was_streaming, head = self._last
        if headers != last_headers or is_streaming != was_streaming:
            accept = "text/event-stream" if is_streaming else "application/json"
            head = self._head(accept, headers)
            self._last = (dict(headers), is_streaming, head)
        return head

    def _head(self, accept: str, headers: dict[str, str]) -> bytes:
        found = {**self._headers, "accept": ("Accept", accept)}
        for name, value in headers.items():
            self._put(found, name, value)
        lines = "".join(f"{name}: {value}\r\n" for name, value in found.values())
        return f"{self._request_line}{lines}Content-Length: ".encode()

    @staticmethod
    def _put(headers: dict[str, tuple[str, str]], name: str, value: str) -> None:
        if not _NAME.fullmatch(name):
            msg = f"header name {name!r} is not a token"
            raise ValueError(msg)
        if _FORBIDDEN_IN_VALUES.search(value):
            msg = f"value of header {name} holds a control character"
            raise ValueError(msg)
        lowered = name.lower()
        if lowered in _OURS:
            msg = f"header {name} is not the caller's to set"
            raise ValueError(msg)
        headers[lowered] = (name, value)
