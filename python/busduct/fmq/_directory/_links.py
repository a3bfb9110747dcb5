"""The context and the options of a directory's sockets."""

from typing import TYPE_CHECKING

from busduct.errors import ClosedError
from busduct.fmq._directory._address import is_ipc
from busduct.fmq._directory._wire import MAX_MESSAGE_BYTES
from busduct.transport._zmq import SocketOptions

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["CLIENT_OPTIONS", "SERVER_OPTIONS", "Links"]

# Whatever is queued beyond this is superseded: only the newest word counts.
_NUM_QUEUED = 4

_OPTIONS: SocketOptions = {
    "hwm_messages": _NUM_QUEUED,
    "hwm_bytes": MAX_MESSAGE_BYTES,
    "max_message_bytes": MAX_MESSAGE_BYTES,
    "max_parts": 4,
    "on_full": "drop_old",
    "linger": 0.0,
    "handshake_timeout": 5.0,
}
# A machine that is cut off takes its members with it; a process that is stopped, or
# busy, goes on being one.
SERVER_OPTIONS: SocketOptions = {
    **_OPTIONS,
    "tcp_keepalive_idle": 5.0,
    "tcp_keepalive_interval": 5.0,
}
# A server that is stopped tells nobody anything, so that its clients must find out.
CLIENT_OPTIONS: SocketOptions = {
    **_OPTIONS,
    "reconnect_interval": 0.02,
    "reconnect_max": 0.25,
    "heartbeat_interval": 2.0,
    "heartbeat_timeout": 3.0,
}


class Links:
    """The context that a directory's sockets are of.

    For an ipc address it is one of its own, without shared memory: a connection that
    says a word a minute should not hold two rings of the budget for payloads. A key is
    of no use there. For a TCP address it is the owner's.

    Args:
        context: The owner's.
        address: Of the directory.

    Attributes:
        context: To open sockets of.

    Raises:
        ClosedError: The owner's context is closed.
    """

    def __init__(self, context: "Context", address: str) -> None:
        if context.closed:
            what = "context"
            raise ClosedError(what)
        self._is_ours = is_ipc(address)
        self.context = type(context)(shm="off") if self._is_ours else context

    def close(self) -> None:
        """Close the context if it is ours; its sockets have no linger. Idempotent."""
        if self._is_ours:
            self.context.close()
