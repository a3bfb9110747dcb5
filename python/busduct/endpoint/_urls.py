"""The URL that a worker posts to, from the one that the caller gave."""

from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from busduct.errors import ConfigError

__all__ = ["ApiType", "destination_of", "resolve_url"]

ApiType = Literal["openai", "openai_completions", "sglang"]

# Of each API: its route, and the parts of it that people give as a base.
ROUTES: dict[ApiType, str] = {
    "openai": "/v1/chat/completions",
    "openai_completions": "/v1/completions",
    "sglang": "/generate",
}
BASES: dict[ApiType, tuple[str, ...]] = {
    "openai": ("", "/", "/v1", "/v1/"),
    "openai_completions": ("", "/", "/v1", "/v1/"),
    "sglang": ("", "/"),
}
DEFAULT_PORTS = {"http": 80, "https": 443}


def resolve_url(url: str, api_type: ApiType) -> str:
    """Return `url` with the route of its API, if it names none.

    Args:
        url: Where the endpoint is: ``http://host:port``, the same with ``/v1``, or with
            a path of its own, which is left as it is.
        api_type: The API, whose route is appended to a bare URL.

    Raises:
        ConfigError: Not an absolute ``http`` or ``https`` URL, with a user or a
            fragment, or with characters that belong percent-encoded.
    """
    parts = _split(url)
    path = ROUTES[api_type] if parts.path in BASES[api_type] else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def destination_of(url: str) -> tuple[str, int]:
    """Return the host and the port that connections for a resolved URL go to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        msg = f"endpoint URL is {url!r}; it must be a string"
        raise ConfigError(msg)
    # Before anything else: the parser would drop tabs and line ends without a word.
    if any(not "!" <= character <= "~" for character in url):
        msg = f"endpoint URL {url!r} has characters that must be percent-encoded"
        raise ConfigError(msg)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        msg = f"endpoint URL {url!r} does not parse: {error}"
        raise ConfigError(msg) from error
    if "@" in parts.netloc:
        # NB: not shown, since what stands there is a password.
        msg = "endpoint URL has a user; give a key as api_key, or a header per query"
        raise ConfigError(msg)
    if parts.scheme not in DEFAULT_PORTS:
        msg = f"endpoint URL {url!r} must begin with http:// or https://"
        raise ConfigError(msg)
    if not parts.hostname or port == 0:
        msg = f"endpoint URL {url!r} must name a host, and a port from 1 to 65535"
        raise ConfigError(msg)
    if parts.fragment:
        msg = f"endpoint URL {url!r} has a fragment, which no server gets to see"
        raise ConfigError(msg)
    return parts
