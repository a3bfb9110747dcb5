"""Open connections to an endpoint: resolve, connect, and TLS over it if asked for."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from busduct.endpoint._http._origin import Origin
from busduct.endpoint._http._protocol import Connection

_Address = tuple[socket.AddressFamily, tuple[object, ...]]


class Connector:
    """Open one connection after the other to the same endpoint.

    Args:
        origin: Where it is.
        tls: None for ``http://``.
        timeout: Seconds for resolving, connecting and the handshake of TLS together.
    """

    def __init__(
        self, origin: Origin, tls: ssl.SSLContext | None, timeout: float
    ) -> None:
        self.origin = origin
        self._tls = tls
        self._timeout = timeout
        self._addresses: list[_Address] = []

    async def open(self, make: Callable[[], Connection]) -> Connection:
        """Return an open connection.

        A name is resolved once, and again when none of its addresses answered.

        Raises:
            OSError: No address of the name accepts; or what TLS raises, a subclass.
            TimeoutError: It took too long.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open(make)
        except TimeoutError as error:
            self._addresses.clear()
            msg = f"timed out after {self._timeout} s"
            raise TimeoutError(msg) from error
        except OSError:
            self._addresses.clear()
            raise

    async def _open(self, make: Callable[[], Connection]) -> Connection:
        if not self._addresses:
            self._addresses = await self._resolve()
        addresses = list(self._addresses)
        plain_socket = await self._connect_any(addresses)
        try:
            loop = asyncio.get_running_loop()
            is_tls = self._tls is not None
            _, connection = await loop.create_connection(
                make,
                sock=plain_socket,
                ssl=self._tls,
                server_hostname=self.origin.host if is_tls else None,
            )
        except BaseException:
            plain_socket.close()
            raise
        connection.attach(None if is_tls else plain_socket)
        return connection

    async def _resolve(self) -> list[_Address]:
        host, port = self.origin.host, self.origin.port
        if _is_ipv4(host):
            return [(socket.AF_INET, (host, port))]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, *_, address in found]

    async def _connect_any(self, addresses: list[_Address]) -> socket.socket:
        """Connect to the first that accepts, each within its share of the time."""
        for family, address in addresses[:-1]:
            try:
                async with asyncio.timeout(self._timeout / len(addresses)):
                    return await self._connect(family, address)
            except (OSError, TimeoutError):
                # It goes last: the next connection need not wait for it again.
                if self._addresses and self._addresses[0] == (family, address):
                    self._addresses.append(self._addresses.pop(0))
        return await self._connect(*addresses[-1])

    async def _connect(
        self, family: socket.AddressFamily, address: tuple[object, ...]
    ) -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made


def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return host.count(".") == 3
