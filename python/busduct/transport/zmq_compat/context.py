"""The context: owner of sockets, for any number of threads."""

import os
import sys
import threading
import warnings
import weakref
from typing import Any, ClassVar, Generic, Self, TypeVar

from busduct.transport.zmq_compat._attributes import OptionAttributes
from busduct.transport.zmq_compat._base import BaseSocket
from busduct.transport.zmq_compat._shared import SharedContext
from busduct.transport.zmq_compat.constants import (
    ContextOption,
    Errno,
)
from busduct.transport.zmq_compat.error import ZMQError
from busduct.transport.zmq_compat.socket import Socket

__all__ = ["Context"]

SocketT = TypeVar("SocketT", bound=BaseSocket)

_CONTEXT_OPTIONS = {
    ContextOption.IO_THREADS: 1,
    ContextOption.MAX_SOCKETS: 1023,
    ContextOption.SOCKET_LIMIT: 65535,
    ContextOption.MAX_MSGSZ: 2**31 - 1,
}


class Context(OptionAttributes, Generic[SocketT]):
    """Owner of sockets, for any number of threads; each socket is for one at a time.

    Underneath is one busduct context with an I/O thread of its own. Unlike libzmq's, a
    context listens beyond loopback only with a key, or with `insecure`.

    Attributes:
        sockopts: Socket options that its new sockets begin with.
    """

    sockopts: dict[int, Any]
    _instance: ClassVar[Any] = None
    _instance_pid: ClassVar[int] = 0
    _instance_lock: ClassVar[threading.Lock] = threading.Lock()
    _socket_class: Any = Socket
    _shadow: bool = False
    _repr_cls = "zmq.Context"

    def __init__(
        self,
        io_threads: "int | Context[Any]" = 1,
        *,
        shadow: "Context[Any] | SharedContext | None" = None,
        key: bytes | None = None,
        insecure: bool = False,
    ) -> None:
        """Make a context, or another face of one.

        Args:
            io_threads: At least 0, and without meaning; or the other face.
            shadow: The other face.
            key: 32 bytes that every TCP peer must know too. Peers on libzmq cannot.
            insecure: Permit TCP beyond loopback to whoever can reach it.

        Raises:
            ZMQError: EINVAL: fewer than 0 I/O threads.
        """
        self.sockopts = {}
        self._options = dict(_CONTEXT_OPTIONS)
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._is_leaking = False
        if isinstance(io_threads, Context):
            shadow, io_threads = io_threads, 1
        if io_threads < 0:
            raise ZMQError(Errno.EINVAL, f"io_threads is {io_threads}")
        if shadow is not None:
            self._shadow = True
            self._shadow_obj = shadow
            if isinstance(shadow, Context):
                shadow = shadow.underlying
            self._shared = shadow
        else:
            self._shared = SharedContext(key=key, insecure=insecure)

    @classmethod
    def instance(cls, io_threads: int = 1) -> Self:
        """Return the context that this process has for all: made when first asked for.

        A forked child, and a process that terminated it, get another.
        """
        with cls._instance_lock:
            known = cls._instance
            if known is None or cls._instance_pid != os.getpid() or known.closed:
                cls._instance = cls(io_threads)
                cls._instance_pid = os.getpid()
            return cls._instance  # type: ignore[no-any-return]

    @classmethod
    def shadow(cls, context: "Context[Any] | SharedContext") -> Self:
        """Return another face of the same context."""
        return cls(shadow=context)

    @property
    def underlying(self) -> SharedContext:
        """What all faces of this context share."""
        return self._shared

    @property
    def closed(self) -> bool:
        """Whether it was terminated."""
        return self._shared.is_closed or self._shared.is_foreign

    def socket(
        self, socket_type: int, socket_class: Any = None, **kwargs: Any
    ) -> SocketT:
        """Make a socket.

        Args:
            socket_type: One of `SocketType`.
            socket_class: Instead of the context's own.
            **kwargs: Given to that class; for `Socket`, options of
                `busduct.transport.Context.socket`.

        Raises:
            ZMQError: ENOTSUP: the context is closed. EINVAL: no such kind.
        """
        if self.closed:
            raise ZMQError(Errno.EFAULT if self._shadow else Errno.ENOTSUP)
        made: SocketT = (socket_class or self._socket_class)(
            self, socket_type, **kwargs
        )
        for option, value in self.sockopts.items():
            try:
                made.set(option, value)
            except ZMQError as error:
                # A default may be of no use to this kind of socket.
                if error.errno != Errno.EINVAL:
                    raise
        self._sockets.add(made)
        return made

    def term(self) -> None:
        """Interrupt every call of every socket, wait for all to be closed, and end.

        Calls in other threads raise `ContextTerminated`; those threads must close their
        sockets then. Blocks until what was sent is gone, or the lingers are over.
        """
        self._shared.terminate()

    def destroy(self, linger: int | None = None) -> None:
        """Close all sockets made by this face, and terminate.

        Args:
            linger: Milliseconds for each of them, instead of their own.
        """
        if self.closed:
            return
        for made in list(self._sockets):
            if made.closed:
                continue
            if self._is_leaking:
                text = f"Destroying context with unclosed socket {made!r}"
                warnings.warn(text, ResourceWarning, 3, source=made)
            made.close(linger)
        self.term()

    def set(self, option: int, value: Any) -> None:
        """Set an option of the context, or a default for its new sockets."""
        if isinstance(option, ContextOption):
            self._options[option] = value
        else:
            self.sockopts[option] = value

    def get(self, option: int) -> Any:
        """Return an option of the context, or a default for its new sockets.

        Raises:
            ZMQError: EINVAL: not set.
        """
        known = self._options if isinstance(option, ContextOption) else self.sockopts
        if option not in known:
            raise ZMQError(Errno.EINVAL, f"option {option!r} is not set")
        return known[option]  # type: ignore[index]

    def setsockopt(self, option: int, value: Any) -> None:
        """Set a default for new sockets."""
        self.sockopts[option] = value

    def getsockopt(self, option: int) -> Any:
        """Return a default for new sockets."""
        return self.sockopts[option]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *ContextOption.__members__]

    def __copy__(self, memo: object = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_leaking = True
        self.destroy()

    def __del__(self) -> None:
        shared = self.__dict__.get("_shared")
        if self._shadow or shared is None or self.closed:
            return
        if sys.is_finalizing():
            # As pyzmq: the end of the process waits for nothing.
            self.destroy(linger=0)
            return
        self._is_leaking = True
        try:
            warnings.warn(f"Unclosed context {self!r}", ResourceWarning, 2, source=self)
        finally:
            self.destroy()

    def __repr__(self) -> str:
        num = sum(not made.closed for made in self._sockets)
        held = f"{num} socket{'s' if num > 1 else ''}" if num else ""
        closed = " closed" if self.closed else ""
        return f"<{self._repr_cls}({held}) at {id(self):#x}{closed}>"
