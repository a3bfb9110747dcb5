"""pyzmq's errors, and what ours become.

::

    ZMQBaseError
    |- ZMQError(errno, msg)
    |  |- Again                 EAGAIN
    |  |- ContextTerminated     ETERM
    |  `- NotSupportedError     ENOTSUP
    |- ZMQBindError
    `- NotDone
"""

import errno
import os

from busduct.errors import (
    AddressInUseError,
    AuthError,
    BusductError,
    ClosedError,
    ConfigError,
    ForkedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    PeerLostError,
    WaitTimeoutError,
)
from busduct.transport.zmq_compat.constants import Errno

__all__ = [
    "Again",
    "ContextTerminated",
    "NotDone",
    "NotSupportedError",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "strerror",
    "translate",
]

_TEXTS = {
    Errno.EFSM: "Operation cannot be accomplished in current state",
    Errno.ENOCOMPATPROTO: "The protocol is not compatible with the socket type",
    Errno.ETERM: "Context was terminated",
    Errno.EMTHREAD: "No thread available",
}


def strerror(number: int) -> str:
    """Return the text of an error number, libzmq's own included."""
    own = {int(number): text for number, text in _TEXTS.items()}
    return own.get(int(number)) or os.strerror(number)


class ZMQBaseError(Exception):
    """Base of every error that this package raises."""


class ZMQError(ZMQBaseError):
    """An operation failed.

    Attributes:
        errno: Why, as one of `Errno`, or another of the system's.
        strerror: Why, as text.
    """

    def __init__(self, errno: int | None = None, msg: str | None = None) -> None:
        super().__init__(errno, msg)
        self.errno = errno
        if msg is None:
            msg = strerror(errno) if errno is not None else "unknown error"
        self.strerror = msg

    def __str__(self) -> str:
        return self.strerror

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strerror!r})"


class Again(ZMQError):  # noqa: N818
    """It cannot be done at once, or was not within the time allowed."""

    def __init__(self, errno: int | None = None, msg: str | None = None) -> None:
        super().__init__(Errno.EAGAIN, msg)


class ContextTerminated(ZMQError):  # noqa: N818
    """The context was terminated."""

    def __init__(self, errno: int | None = None, msg: str | None = None) -> None:
        super().__init__(Errno.ETERM, msg)


class NotSupportedError(ZMQError):
    """libzmq has this, busduct has not; the text says what to use instead."""

    def __init__(self, errno: int | None = None, msg: str | None = None) -> None:
        super().__init__(Errno.ENOTSUP, msg)


class ZMQBindError(ZMQBaseError):
    """`Socket.bind_to_random_port` found no free port."""


class NotDone(ZMQBaseError):  # noqa: N818
    """A message is still in use when `MessageTracker.wait` gives up."""


# Looked through in order: a class before those that it derives from.
_NUMBERS: tuple[tuple[type[Exception], int], ...] = (
    (AddressInUseError, errno.EADDRINUSE),
    (AuthError, errno.EACCES),
    (ClosedError, errno.ENOTSOCK),
    (ForkedError, errno.ENOTSOCK),
    (ConfigError, errno.EINVAL),
    (FrameTooLargeError, errno.EMSGSIZE),
    (PeerLostError, errno.EHOSTUNREACH),
    (LocalProtocolError, Errno.EFSM),
)


def translate(error: BusductError | OSError) -> ZMQError:
    """Return what pyzmq would raise in place of one of our errors."""
    text = str(error)
    if isinstance(error, FullError | WaitTimeoutError):
        return Again()
    if isinstance(error, AuthError):
        text += (
            "; zmq_compat.Context(key=...) protects it, and "
            "zmq_compat.Context(insecure=True) permits it unprotected"
        )
    for known, number in _NUMBERS:
        if isinstance(error, known):
            return ZMQError(number, text)
    return ZMQError(getattr(error, "errno", None) or errno.EINVAL, text)
