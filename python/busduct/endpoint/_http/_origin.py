"""Where an endpoint is: what its URL says."""

from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """An endpoint's URL in the parts that a connection and a request need.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, an IPv6 address without brackets.
        port: The scheme's, if the URL has none.
        target: Path and query string, never empty.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Take a URL apart that `HTTPClientConfig` has checked."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname or "", port, target)

    @property
    def authority(self) -> str:
        """What the Host header says: no port if it is the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
