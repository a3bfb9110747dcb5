"""What a socket has whether its calls block or are awaited: endpoints and life."""

import random
import warnings
from typing import TYPE_CHECKING, Any, Self, cast

from busduct.transport.zmq_compat._settings import SocketSettings
from busduct.transport.zmq_compat._shared_socket import SharedSocket
from busduct.transport.zmq_compat.constants import Errno, SocketOption, SocketType
from busduct.transport.zmq_compat.error import (
    NotSupportedError,
    ZMQBindError,
    ZMQError,
)

if TYPE_CHECKING:
    from busduct.transport.zmq_compat.context import Context

__all__ = ["BaseSocket", "EndpointScope"]

# pyzmq's defaults: with them the system chooses the port.
_MIN_PORT, _MAX_PORT = 49152, 65536


class EndpointScope:
    """What `bind` and `connect` return: undoes them when left as a context manager."""

    def __init__(self, socket: "BaseSocket", kind: str, address: str) -> None:
        self.socket = socket
        self.kind = kind
        self.addr = address

    def __enter__(self) -> "BaseSocket":
        return self.socket

    def __exit__(self, *exc_info: object) -> None:
        if self.socket.closed:
            return
        if self.kind == "bind":
            self.socket.unbind(self.addr)
        else:
            self.socket.disconnect(self.addr)

    def __repr__(self) -> str:
        return f"<SocketContext({self.kind}={self.addr!r})>"


class BaseSocket(SocketSettings):
    """The part of a socket that never waits.

    Attributes:
        context: Whose socket it is.
        copy_threshold: Accepted and without meaning.
    """

    context: "Context[Any]"
    copy_threshold: int
    _shared: SharedSocket
    _shadow: bool = False
    _shadow_obj: "BaseSocket | None" = None
    _repr_cls = "zmq.Socket"

    def __init__(
        self,
        context_or_socket: "Context[Any] | BaseSocket | None" = None,
        socket_type: int = 0,
        *,
        shadow: "BaseSocket | SharedSocket | None" = None,
        copy_threshold: int | None = None,
        **options: Any,
    ) -> None:
        """Make a socket, or another face of one.

        Args:
            context_or_socket: The context that is to own it, or the other face.
            socket_type: One of `SocketType`.
            shadow: The other face.
            copy_threshold: Accepted and without meaning.
            **options: Of `busduct.transport.Context.socket`, in its units; they win
                over what `setsockopt` says.

        Raises:
            ContextTerminated: The context was terminated.
            ZMQError: EINVAL: no such kind.
        """
        self.copy_threshold = copy_threshold or 0
        if isinstance(context_or_socket, BaseSocket):
            shadow = context_or_socket
        if isinstance(shadow, BaseSocket):
            self._shadow_obj = shadow
            self.context = shadow.context
            shadow = shadow.underlying
        if shadow is not None:
            self._shadow = True
            self._shared = shadow
            return
        context = cast("Context[Any]", context_or_socket)
        self.context = context
        shared = context.underlying
        self._shared = SharedSocket(shared, _kind(socket_type), options)
        with shared:
            shared.check()
            shared.add(self._shared)

    @classmethod
    def shadow(cls, socket: "BaseSocket | SharedSocket") -> Self:
        """Return another face of the same socket; closing either closes both."""
        return cls(shadow=socket)

    @property
    def underlying(self) -> SharedSocket:
        """What all faces of this socket share."""
        return self._shared

    @property
    def closed(self) -> bool:
        """Whether it, or its context, was closed."""
        shared = self._shared
        return shared.is_closed or shared.shared.is_closed or shared.shared.is_foreign

    @property
    def type(self) -> SocketType:
        """The kind."""
        return self._shared.kind

    socket_type = type  # noqa: A003

    def close(self, linger: int | None = None) -> None:
        """Close it; what was sent goes on in the background. Idempotent.

        Args:
            linger: Milliseconds instead of the option LINGER; -1 for no bound.
        """
        shared = self._shared
        if shared.is_closed or shared.shared.is_foreign:
            return
        with shared.shared:
            if linger is not None and not shared.is_closed:
                shared.options.set(SocketOption.LINGER, linger)
            shared.close_locked()

    def bind(self, addr: str | bytes) -> EndpointScope:
        """Listen at ``tcp://HOST:PORT``, ``ipc://PATH`` or ``inproc://NAME``.

        A port of 0 or ``*`` is chosen by the system, and a path of ``*`` by us; the
        option LAST_ENDPOINT tells which.

        Returns:
            A context manager that unbinds.

        Raises:
            ZMQError: Why not, as an error number and text.
        """
        with self._shared.shared:
            real = _with_address(self._shared.bind, addr)
        return EndpointScope(self, "bind", real)

    def connect(self, addr: str | bytes) -> EndpointScope:
        """Connect in the background, and again whenever the connection is lost.

        Returns:
            A context manager that disconnects.

        Raises:
            ZMQError: Why not, as an error number and text.
        """
        with self._shared.shared:
            endpoint = _with_address(self._shared.connect, addr)
        return EndpointScope(self, "connect", endpoint)

    def unbind(self, addr: str | bytes) -> None:
        """Stop listening; connections already accepted stay.

        Raises:
            ZMQError: ENOENT: nothing is bound there.
        """
        with self._shared.shared:
            self._shared.unbind(addr)

    def disconnect(self, addr: str | bytes) -> None:
        """End a connection.

        Raises:
            ZMQError: ENOENT: nothing is connected there.
        """
        with self._shared.shared:
            self._shared.disconnect(addr)

    def bind_to_random_port(
        self,
        addr: str,
        min_port: int = _MIN_PORT,
        max_port: int = _MAX_PORT,
        max_tries: int = 100,
    ) -> int:
        """Bind to a free port and return it.

        Args:
            addr: As for `bind`, without ``:PORT``.
            min_port: The first to choose from.
            max_port: The one after the last to choose from.
            max_tries: Ports to try.

        Raises:
            ZMQBindError: All of those are in use.
            ZMQError: As for `bind`.
        """
        if (min_port, max_port) == (_MIN_PORT, _MAX_PORT):
            self.bind(f"{addr}:*")
            return int(self._shared.last_endpoint.rpartition(":")[2])
        for _ in range(max_tries):
            port = random.randrange(min_port, max_port)
            try:
                self.bind(f"{addr}:{port}")
            except ZMQError as error:
                if error.errno != Errno.EADDRINUSE:
                    raise
            else:
                return port
        msg = f"no free port of {addr} found in {max_tries} tries"
        raise ZMQBindError(msg)

    def get_monitor_socket(self, *_args: object, **_kwargs: object) -> Any:
        """Refuse.

        Raises:
            NotSupportedError: Always; it names what busduct has.
        """
        text = "monitors are not sockets here; see busduct.transport.Socket.monitor"
        raise NotSupportedError(msg=text)

    monitor = disable_monitor = get_monitor_socket

    def __copy__(self, memo: object = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        shared = self.__dict__.get("_shared")
        if self._shadow or shared is None or self.closed:
            return
        try:
            warnings.warn(f"Unclosed socket {self!r}", ResourceWarning, 2, source=self)
        finally:
            shared.shared.drop(shared)

    def __repr__(self) -> str:
        closed = " closed" if self.closed else ""
        name = self._repr_cls
        return f"<{name}(zmq.{self.type.name}) at {id(self):#x}{closed}>"


def _kind(number: int) -> SocketType:
    try:
        kind = SocketType(number)
    except ValueError:
        raise ZMQError(Errno.EINVAL, f"no socket type {number}") from None
    if kind is SocketType.STREAM:
        raise NotSupportedError(msg="sockets of type STREAM are not supported")
    return kind


def _with_address(call: Any, address: str | bytes) -> str:
    try:
        return str(call(address))
    except ZMQError as error:
        error.strerror += f" (addr={address!r})"
        raise
