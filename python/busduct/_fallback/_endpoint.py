"""Endpoints as users write them: `ipc://PATH`, `tcp://HOST:PORT`, `inproc://NAME`."""

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from busduct.errors import ConfigError

__all__ = ["MAX_IPC_PATH_NBYTES", "Endpoint", "check_text", "parse_endpoint"]

# What a Unix socket address holds on Linux, less the final zero.
MAX_IPC_PATH_NBYTES: Final = 107
MAX_INPROC_NAME_NBYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen or to connect: a path, a name, or a host and a port."""

    path: str = ""
    name: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"ipc://{self.path}"
        if self.name:
            return f"inproc://{self.name}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def is_tcp(self) -> bool:
        """Whether it is a host and a port."""
        return not self.path and not self.name

    def resolve(self) -> list[tuple[int, tuple[str, int]]]:
        """Return families and addresses of a TCP endpoint; looking up a name may block.

        Raises:
            OSError: The name is not known.
        """
        if self.host == "*":
            return [(socket.AF_INET, ("0.0.0.0", self.port))]
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            # Too long a label, or an empty one, is a name that nobody has.
            raise OSError(errno.EINVAL, f"{self.host!r} is no host name") from error
        return [(family, (str(at[0]), int(at[1]))) for family, _, _, _, at in found]


def parse_endpoint(text: str) -> Endpoint:
    """Parse an endpoint.

    Raises:
        ConfigError: It is none; the text says why.
        TypeError: It is no text.
    """
    check_text(text)
    if text.startswith("ipc://"):
        return Endpoint(path=_parse_path(text, text.removeprefix("ipc://")))
    if text.startswith("inproc://"):
        return Endpoint(name=_parse_name(text, text.removeprefix("inproc://")))
    if not text.startswith("tcp://"):
        raise _refusal(text, "must start with ipc://, tcp:// or inproc://")
    host, colon, port = text.removeprefix("tcp://").rpartition(":")
    if not colon:
        raise _refusal(text, "the port is missing")
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise _refusal(text, "the port is not a number from 0 to 65535")
    return Endpoint(host=_parse_host(text, host), port=int(port))


def check_text(endpoint: object) -> None:
    """Check that an endpoint is text.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(endpoint, str):
        msg = f"an endpoint is a str, not {type(endpoint).__name__}"
        raise TypeError(msg)


def _parse_host(text: str, host: str) -> str:
    is_bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if is_bracketed else host
    if not name or "\0" in name:
        raise _refusal(text, "the host is missing")
    if is_bracketed is not (":" in name) or "[" in name or "]" in name:
        raise _refusal(text, "an IPv6 address, and nothing else, stands in brackets")
    return name


def _parse_path(text: str, path: str) -> str:
    nbytes = len(os.fsencode(path))
    if not path:
        raise _refusal(text, "the path is empty")
    if path.startswith("@"):
        raise _refusal(text, "abstract names are not supported")
    if path == "*":
        raise _refusal(text, "a wildcard path is not supported")
    if "\0" in path:
        raise _refusal(text, "the path holds a zero byte")
    if nbytes > MAX_IPC_PATH_NBYTES:
        msg = f"ipc path of {nbytes} bytes exceeds limit of {MAX_IPC_PATH_NBYTES} bytes"
        raise ConfigError(msg)
    return path


def _parse_name(text: str, name: str) -> str:
    nbytes = len(os.fsencode(name))
    if not name:
        raise _refusal(text, "the name is empty")
    if "\0" in name:
        raise _refusal(text, "the name holds a zero byte")
    if nbytes > MAX_INPROC_NAME_NBYTES:
        msg = (
            f"inproc name of {nbytes} bytes exceeds limit of "
            f"{MAX_INPROC_NAME_NBYTES} bytes"
        )
        raise ConfigError(msg)
    return name


def _refusal(text: str, reason: str) -> ConfigError:
    return ConfigError(f"endpoint {text!r}: {reason}")
