"""pyzmq's face on busduct's sockets, for code that was written for pyzmq.

Change ``import zmq`` into ``from busduct.transport import zmq_compat as zmq``; what is
the same, what differs and what is missing is told in ``docs/zmq_compat.md``.
"""

from busduct.transport.zmq_compat import asyncio, constants, error
from busduct.transport.zmq_compat._version import (
    has,
    pyzmq_version,
    pyzmq_version_info,
    zmq_version,
    zmq_version_info,
)
from busduct.transport.zmq_compat.constants import *  # noqa: F403
from busduct.transport.zmq_compat.context import Context
from busduct.transport.zmq_compat.devices import device, proxy
from busduct.transport.zmq_compat.error import (
    Again,
    ContextTerminated,
    NotDone,
    NotSupportedError,
    ZMQBaseError,
    ZMQBindError,
    ZMQError,
    strerror,
)
from busduct.transport.zmq_compat.frame import Frame, MessageTracker
from busduct.transport.zmq_compat.poller import Poller, select, zmq_poll
from busduct.transport.zmq_compat.socket import Socket

Message = Frame

__all__ = [
    "Again",
    "Context",
    "ContextTerminated",
    "Frame",
    "Message",
    "MessageTracker",
    "NotDone",
    "NotSupportedError",
    "Poller",
    "Socket",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "asyncio",
    "constants",
    "device",
    "error",
    "has",
    "proxy",
    "pyzmq_version",
    "pyzmq_version_info",
    "select",
    "strerror",
    "zmq_poll",
    "zmq_version",
    "zmq_version_info",
]
__all__ += constants.__all__
