"""Endpoints as pyzmq's users write them, and as busduct takes them."""

import shutil
import tempfile

from busduct.transport.zmq_compat.constants import Errno
from busduct.transport.zmq_compat.error import ZMQError

__all__ = ["TemporaryPaths", "checked"]


class TemporaryPaths:
    """Directories made for ``ipc://*``, removed by `close`."""

    def __init__(self) -> None:
        self._directories: list[str] = []

    def make(self) -> str:
        """Return an endpoint in a new directory that only this user can enter."""
        directory = tempfile.mkdtemp(prefix="busduct-")
        self._directories.append(directory)
        return f"ipc://{directory}/socket"

    def close(self) -> None:
        """Remove the directories. Idempotent."""
        while self._directories:
            shutil.rmtree(self._directories.pop(), ignore_errors=True)


def checked(address: str | bytes) -> str:
    """Return an endpoint as text, with port 0 for a port of ``*``.

    Raises:
        ZMQError: EINVAL: no ``SCHEME://`` with something behind it. EPROTONOSUPPORT:
            neither tcp, ipc nor inproc.
    """
    text = address.decode() if isinstance(address, bytes) else address
    scheme, separator, rest = text.partition("://")
    if not separator or not rest:
        raise ZMQError(Errno.EINVAL, f"{text!r} is not an endpoint")
    if scheme not in {"tcp", "ipc", "inproc"}:
        raise ZMQError(
            Errno.EPROTONOSUPPORT, f"{scheme} is none of tcp, ipc and inproc: {text!r}"
        )
    if scheme == "tcp" and rest.endswith(":*"):
        return text[:-1] + "0"
    return text
