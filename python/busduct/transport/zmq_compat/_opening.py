"""A socket whose options come first: opened when it is bound or connected."""

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from busduct.errors import BusductError
from busduct.transport.zmq_compat._endpoints import TemporaryPaths, checked
from busduct.transport.zmq_compat._options import Options
from busduct.transport.zmq_compat._shared import SharedContext
from busduct.transport.zmq_compat.constants import Errno, SocketOption, SocketType
from busduct.transport.zmq_compat.error import ZMQError, translate

if TYPE_CHECKING:
    from busduct._core import Socket as CoreSocket

__all__ = ["Data", "LazySocket"]

Data = bytes | bytearray | memoryview


class LazySocket:
    """The options, endpoints and subscriptions of a socket.

    Its busduct socket is opened when it is first bound or connected, since the options
    of that one are fixed then. All but the constructor is called under the lock of its
    context.

    Attributes:
        shared: The context.
        kind: As in libzmq.
        options: What is set on it.
        is_local: It was bound or connected within the context.
        swift_send: Sends a message of one part without the lock of the context; None
            where that is not possible.
        last_endpoint: Bound or connected to last, as text.
        is_closed: `close_locked` was called.
    """

    def __init__(
        self, shared: SharedContext, kind: SocketType, own: dict[str, Any]
    ) -> None:
        self.shared = shared
        self.kind = kind
        self.options = Options(kind, own)
        self.is_local = False
        self.swift_send: Callable[[Data], None] | None = None
        self.last_endpoint = ""
        self.is_closed = False
        self._core: CoreSocket | None = None
        self._bound: dict[str, str] = {}
        self._paths = TemporaryPaths()
        self._topics: list[bytes] = []

    def check(self) -> None:
        """Raise unless the socket is open.

        Raises:
            ContextTerminated: The context was terminated.
            ZMQError: ENOTSOCK: it is closed.
        """
        if self.is_closed:
            raise ZMQError(Errno.ENOTSOCK)
        self.shared.check()

    def bind(self, address: str | bytes) -> str:
        """Listen; return the endpoint really bound.

        Raises:
            ZMQError: Why not, as an error number and text.
        """
        self.check()
        endpoint = self._checked(address)
        if endpoint == "ipc://*":
            endpoint = self._paths.make()
        insecure = self.shared.insecure and endpoint.startswith("tcp://")
        try:
            core = self._opened(is_bound_first=True)
            # Named only where it matters: other transports have no such option.
            named = {"insecure": True} if insecure else {}
            real = core.bind(endpoint, **named)
        except (BusductError, OSError) as error:
            raise translate(error) from error
        self._bound[_text(address)] = real
        self.last_endpoint = real
        return real

    def connect(self, address: str | bytes) -> str:
        """Connect in the background; return the endpoint.

        Raises:
            ZMQError: Why not, as an error number and text.
        """
        self.check()
        endpoint = self._checked(address)
        try:
            self._opened(is_bound_first=False).connect(endpoint)
        except (BusductError, OSError) as error:
            raise translate(error) from error
        self.last_endpoint = endpoint
        return endpoint

    def unbind(self, address: str | bytes) -> None:
        """Stop listening.

        Raises:
            ZMQError: ENOENT: nothing is bound there.
        """
        self.check()
        text = _text(address)
        try:
            self._opened(is_bound_first=True).unbind(self._bound.get(text, text))
        except BusductError as error:
            raise _absent(text) from error
        self._bound.pop(text, None)

    def disconnect(self, address: str | bytes) -> None:
        """End a connection.

        Raises:
            ZMQError: ENOENT: nothing is connected there.
        """
        self.check()
        text = _text(address)
        try:
            self._opened(is_bound_first=False).disconnect(text)
        except BusductError as error:
            raise _absent(text) from error

    def subscribe(self, topic: bytes, *, is_wanted: bool) -> None:
        """Subscribe, or take a subscription back.

        Raises:
            ZMQError: EINVAL: not a SUB, or a topic of more than 255 bytes.
        """
        self.check()
        if self.kind is not SocketType.SUB:
            raise ZMQError(Errno.EINVAL, "only SUB sockets subscribe")
        if len(topic) > 255:
            text = f"topic of {len(topic)} bytes exceeds limit of 255 bytes"
            raise ZMQError(Errno.EINVAL, text)
        if is_wanted:
            self._topics.append(topic)
            if self._core is not None:
                self._core.subscribe(topic)
        elif topic in self._topics:
            self._topics.remove(topic)
            if self._core is not None:
                self._core.unsubscribe(topic)

    def _opened(self, *, is_bound_first: bool) -> "CoreSocket":
        if self._core is None:
            options = self.options.for_core(is_bound_first=is_bound_first)
            self._core = self.shared.open(self.kind, options)
            self.options.is_fixed = True
            for topic in self._topics:
                self._core.subscribe(topic)
        return self._core

    def _checked(self, address: str | bytes) -> str:
        endpoint = checked(address)
        self.is_local = self.is_local or endpoint.startswith("inproc://")
        return endpoint

    def interrupt(self) -> None:
        """Let no call succeed any more."""
        self.swift_send = None

    def close_locked(self) -> None:
        """Close it, going on sending for as long as its linger says. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self.interrupt()
        if self._core is not None:
            self._core.close(self.options.seconds(SocketOption.LINGER))
        self._paths.close()
        self.shared.remove(self)


def _text(address: str | bytes) -> str:
    return address.decode() if isinstance(address, bytes) else address


def _absent(text: str) -> ZMQError:
    return ZMQError(errno.ENOENT, f"nothing is bound or connected at {text}")
