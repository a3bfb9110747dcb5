"""The socket of one connection of a producer to a consumer."""

from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import HEADER_BYTES

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["open_dealer"]

# The ledger's marks and the consumer's window are the bounds of what is queued here.
_NO_MARK = 1 << 31
_NO_MARK_BYTES = 1 << 50
# The core would connect again and send what it has queued, unasked.
_NEVER = 86400.0
_TCP_KEEPALIVE_IDLE = 15.0


def open_dealer(context: "Context", options: QueueOptions) -> "Socket":
    """Open a DEALER that connects once, and queues whatever it is given.

    Raises:
        ClosedError: The context is closed.
    """
    return context.socket(
        load_backend().DEALER,
        hwm_messages=_NO_MARK,
        hwm_bytes=_NO_MARK_BYTES,
        max_message_bytes=options.max_message_bytes + HEADER_BYTES,
        reconnect_interval=_NEVER,
        reconnect_max=_NEVER,
        tcp_keepalive_idle=_TCP_KEEPALIVE_IDLE,
        send_buffer_bytes=options.send_buffer_bytes,
        recv_buffer_bytes=options.recv_buffer_bytes,
    )
