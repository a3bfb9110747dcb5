"""The sockets that an echo server listens at, and its TLS."""

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from busduct._listening import resolve_listener
from busduct.endpoint.echo._config import EchoConfig
from busduct.errors import AddressInUseError, AuthError, ConfigError

__all__ = ["open_listeners", "tls_context"]

_BACKLOG = 65535


def open_listeners(config: EchoConfig) -> list[socket.socket]:
    """Return listening sockets of one port: one per process, or the one of our own.

    Raises:
        AddressInUseError: Somebody listens there.
        AuthError: Not loopback, and not `insecure`.
        ConfigError: The host has no address.
        OSError: What else the system refuses.
    """
    family, address, is_loopback = resolve_listener(config.host, config.port)
    if not (is_loopback or config.insecure):
        msg = f"{config.host} is reachable from other machines; say insecure if it must"
        raise AuthError(msg)
    with _address_in_use_told(config):
        # Without SO_REUSEPORT: it would let us in beside another server of this user.
        with _bound(family, address, reuse_port=False) as probe:
            address = (address[0], probe.getsockname()[1], *address[2:])
            if config.num_processes == 0:
                probe.listen(_BACKLOG)
                return [probe.dup()]
        with contextlib.ExitStack() as opened:
            found = [
                opened.enter_context(_bound(family, address, reuse_port=True))
                for _ in range(config.num_processes)
            ]
            for listener in found:
                listener.listen(_BACKLOG)
            opened.pop_all()
            return found


def tls_context(config: EchoConfig) -> ssl.SSLContext | None:
    """Return what serves TLS with the certificate of `config`, if it has one.

    Raises:
        ConfigError: A file that cannot be read or is not what it should be.
    """
    if config.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.cert_file, config.key_file)
    except (OSError, ssl.SSLError) as error:
        msg = (
            f"cannot use certificate {config.cert_file} with key {config.key_file}: "
            f"{error}"
        )
        raise ConfigError(msg) from error
    return context


def _bound(
    family: socket.AddressFamily, address: Any, *, reuse_port: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _address_in_use_told(config: EchoConfig) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise AddressInUseError(f"{config.host}:{config.port}") from error
