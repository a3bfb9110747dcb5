"""A listening socket, and the file of an ipc endpoint."""

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from busduct._fallback._endpoint import Endpoint
from busduct._fallback._options import SocketOptions
from busduct._fallback._stream import configure_buffers
from busduct.errors import AddressInUseError, AuthError

__all__ = ["Listener", "open_listener"]

# It takes a C int, and lowers it to what the system allows.
_MAX_BACKLOG = 2**31 - 1


class Listener:
    """Accepts connections at one endpoint.

    Attributes:
        endpoint: What is really bound, with the real port.
    """

    def __init__(self, sock: socket.socket, endpoint: str, path: Path | None) -> None:
        self.sock = sock
        self.endpoint = endpoint
        self._path = path
        self._owner = os.getpid()
        self._identity = _identity(path) if path else None

    def close(self) -> None:
        """Stop listening; remove the socket file if it is still ours."""
        if self.sock.fileno() >= 0 and self._path and self._owner == os.getpid():
            # Under the lock of the directory nobody can replace the file in between.
            with contextlib.suppress(OSError), _locked_directory(self._path):
                if _identity(self._path) == self._identity:
                    self._path.unlink()
        self.sock.close()


def open_listener(
    endpoint: Endpoint, text: str, options: SocketOptions, *, insecure: bool
) -> Listener:
    """Listen at an endpoint.

    Args:
        endpoint: Where.
        text: The endpoint as the caller wrote it, for errors.
        options: The backlog, and the kernel's buffers of each connection.
        insecure: Permit a TCP address other than loopback.

    Raises:
        AddressInUseError: Somebody listens there, or the path is no socket.
        AuthError: Not loopback, no key, and `insecure` is false.
        OSError: What else the system refuses.
    """
    try:
        if endpoint.is_tcp:
            may_leave_host = insecure or options.key is not None
            return _listen_tcp(endpoint, options, insecure=may_leave_host)
        return _listen_ipc(endpoint, options)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(text) from error
        raise


def _listen_tcp(
    endpoint: Endpoint, options: SocketOptions, *, insecure: bool
) -> Listener:
    error = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, address in endpoint.resolve():
        if not insecure and not ipaddress.ip_address(address[0]).is_loopback:
            msg = (
                f"{address[0]} is not a loopback address: "
                "give the context a key, or pass insecure=True"
            )
            raise AuthError(msg)
        try:
            sock = _open_tcp(family, address, options)
        except OSError as refused:
            error = refused
            continue
        host, port = sock.getsockname()[:2]
        return Listener(sock, str(Endpoint(host=host, port=port)), None)
    raise error


def _open_tcp(
    family: int, address: tuple[str, int], options: SocketOptions
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        configure_buffers(sock, options)
        sock.bind(address)
        sock.listen(min(options.backlog, _MAX_BACKLOG))
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_ipc(endpoint: Endpoint, options: SocketOptions) -> Listener:
    path = Path(endpoint.path)
    # Two that find the same stale file must not both replace it: the second would take
    # the first one's place. The lock is on the directory, so no file is left.
    with _locked_directory(path):
        _make_way(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind(endpoint.path)
            # Nobody can connect before listen, so the mode is never too wide.
            path.chmod(0o600)
            sock.listen(min(options.backlog, _MAX_BACKLOG))
            return Listener(sock, str(endpoint), path.absolute())
        except BaseException:
            sock.close()
            raise


@contextlib.contextmanager
def _locked_directory(path: Path) -> Iterator[None]:
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _make_way(path: Path) -> None:
    """Remove a socket file that nobody listens behind."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISSOCK(mode):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                # Alive, with a full backlog.
                pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
