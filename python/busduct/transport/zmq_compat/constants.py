"""libzmq's numbers (zmq.h) under pyzmq's names."""

import errno
from enum import IntEnum, IntFlag

from busduct.transport.zmq_compat import option_names
from busduct.transport.zmq_compat.option_names import *  # noqa: F403

__all__ = [
    "DEALER",
    "DONTWAIT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EAFNOSUPPORT",
    "EAGAIN",
    "ECONNABORTED",
    "ECONNREFUSED",
    "ECONNRESET",
    "EFAULT",
    "EFSM",
    "EHOSTUNREACH",
    "EINPROGRESS",
    "EINVAL",
    "EMSGSIZE",
    "EMTHREAD",
    "ENETDOWN",
    "ENETRESET",
    "ENETUNREACH",
    "ENOBUFS",
    "ENOCOMPATPROTO",
    "ENOTCONN",
    "ENOTSOCK",
    "ENOTSUP",
    "EPROTONOSUPPORT",
    "ETERM",
    "ETIMEDOUT",
    "FORWARDER",
    "IO_THREADS",
    "IPC_PATH_MAX_LEN",
    "MAX_MSGSZ",
    "MAX_SOCKETS",
    "MORE",
    "NOBLOCK",
    "NULL",
    "PAIR",
    "POLLERR",
    "POLLIN",
    "POLLOUT",
    "POLLPRI",
    "PUB",
    "PULL",
    "PUSH",
    "QUEUE",
    "REP",
    "REQ",
    "ROUTER",
    "SHARED",
    "SNDMORE",
    "SOCKET_LIMIT",
    "STREAM",
    "STREAMER",
    "SUB",
    "XPUB",
    "XREP",
    "XREQ",
    "XSUB",
    "ContextOption",
    "DeviceType",
    "Errno",
    "Flag",
    "MessageOption",
    "PollEvent",
    "SecurityMechanism",
    "SocketType",
]
__all__ += option_names.__all__

# What libzmq adds to numbers that no system uses.
_BASE = 156384712

# The bytes of a path that a Unix socket address holds, less the final zero.
IPC_PATH_MAX_LEN = 107


class SocketType(IntEnum):
    """Kinds of sockets."""

    PAIR = 0
    PUB = 1
    SUB = 2
    REQ = 3
    REP = 4
    DEALER = 5
    ROUTER = 6
    PULL = 7
    PUSH = 8
    XPUB = 9
    XSUB = 10
    STREAM = 11
    XREQ = DEALER
    XREP = ROUTER


class Flag(IntFlag):
    """How to send and to receive."""

    DONTWAIT = 1
    SNDMORE = 2
    NOBLOCK = DONTWAIT


class PollEvent(IntFlag):
    """What to wait for."""

    POLLIN = 1
    POLLOUT = 2
    POLLERR = 4
    POLLPRI = 8


class MessageOption(IntEnum):
    """What `Frame.get` takes."""

    MORE = 1
    SHARED = 3


class ContextOption(IntEnum):
    """What `Context.set` and `Context.get` take."""

    IO_THREADS = 1
    MAX_SOCKETS = 2
    SOCKET_LIMIT = 3
    MAX_MSGSZ = 5


class DeviceType(IntEnum):
    """Kinds of `device`."""

    STREAMER = 1
    FORWARDER = 2
    QUEUE = 3


class SecurityMechanism(IntEnum):
    """What the option MECHANISM may be."""

    NULL = 0


class Errno(IntEnum):
    """Numbers of errors: the system's, and four of libzmq's own."""

    EAGAIN = errno.EAGAIN
    EFAULT = errno.EFAULT
    EINVAL = errno.EINVAL
    ENOTSUP = errno.ENOTSUP
    EPROTONOSUPPORT = errno.EPROTONOSUPPORT
    ENOBUFS = errno.ENOBUFS
    ENETDOWN = errno.ENETDOWN
    EADDRINUSE = errno.EADDRINUSE
    EADDRNOTAVAIL = errno.EADDRNOTAVAIL
    ECONNREFUSED = errno.ECONNREFUSED
    EINPROGRESS = errno.EINPROGRESS
    ENOTSOCK = errno.ENOTSOCK
    EMSGSIZE = errno.EMSGSIZE
    EAFNOSUPPORT = errno.EAFNOSUPPORT
    ENETUNREACH = errno.ENETUNREACH
    ECONNABORTED = errno.ECONNABORTED
    ECONNRESET = errno.ECONNRESET
    ENOTCONN = errno.ENOTCONN
    ETIMEDOUT = errno.ETIMEDOUT
    EHOSTUNREACH = errno.EHOSTUNREACH
    ENETRESET = errno.ENETRESET
    EFSM = _BASE + 51
    ENOCOMPATPROTO = _BASE + 52
    ETERM = _BASE + 53
    EMTHREAD = _BASE + 54


PAIR = SocketType.PAIR
PUB = SocketType.PUB
SUB = SocketType.SUB
REQ = SocketType.REQ
REP = SocketType.REP
DEALER = SocketType.DEALER
ROUTER = SocketType.ROUTER
PULL = SocketType.PULL
PUSH = SocketType.PUSH
XPUB = SocketType.XPUB
XSUB = SocketType.XSUB
STREAM = SocketType.STREAM
XREQ = SocketType.XREQ
XREP = SocketType.XREP
DONTWAIT = Flag.DONTWAIT
SNDMORE = Flag.SNDMORE
NOBLOCK = Flag.NOBLOCK
POLLIN = PollEvent.POLLIN
POLLOUT = PollEvent.POLLOUT
POLLERR = PollEvent.POLLERR
POLLPRI = PollEvent.POLLPRI
MORE = MessageOption.MORE
SHARED = MessageOption.SHARED
IO_THREADS = ContextOption.IO_THREADS
MAX_SOCKETS = ContextOption.MAX_SOCKETS
SOCKET_LIMIT = ContextOption.SOCKET_LIMIT
MAX_MSGSZ = ContextOption.MAX_MSGSZ
STREAMER = DeviceType.STREAMER
FORWARDER = DeviceType.FORWARDER
QUEUE = DeviceType.QUEUE
NULL = SecurityMechanism.NULL
EAGAIN = Errno.EAGAIN
EFAULT = Errno.EFAULT
EINVAL = Errno.EINVAL
ENOTSUP = Errno.ENOTSUP
EPROTONOSUPPORT = Errno.EPROTONOSUPPORT
ENOBUFS = Errno.ENOBUFS
ENETDOWN = Errno.ENETDOWN
EADDRINUSE = Errno.EADDRINUSE
EADDRNOTAVAIL = Errno.EADDRNOTAVAIL
ECONNREFUSED = Errno.ECONNREFUSED
EINPROGRESS = Errno.EINPROGRESS
ENOTSOCK = Errno.ENOTSOCK
EMSGSIZE = Errno.EMSGSIZE
EAFNOSUPPORT = Errno.EAFNOSUPPORT
ENETUNREACH = Errno.ENETUNREACH
ECONNABORTED = Errno.ECONNABORTED
ECONNRESET = Errno.ECONNRESET
ENOTCONN = Errno.ENOTCONN
ETIMEDOUT = Errno.ETIMEDOUT
EHOSTUNREACH = Errno.EHOSTUNREACH
ENETRESET = Errno.ENETRESET
EFSM = Errno.EFSM
ENOCOMPATPROTO = Errno.ENOCOMPATPROTO
ETERM = Errno.ETERM
EMTHREAD = Errno.EMTHREAD
