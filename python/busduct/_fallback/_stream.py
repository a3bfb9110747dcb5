"""Options and questions of a connected, non-blocking byte stream."""

import select
import socket
from typing import Final

__all__ = ["configure_stream", "has_ended", "is_hung_up"]

# What the kernel may hold of a stream. More hides a slow reader from the marks.
_KERNEL_BUFFER_NBYTES: Final = 1 << 20
# Where the system cannot tell that the peer ended, only that both sides did.
_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def configure_stream(sock: socket.socket) -> None:
    """Set the options of a stream that is to carry a link."""
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_NBYTES)
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def has_ended(sock: socket.socket) -> bool:
    """Tell whether the peer ended the stream and all it sent was read.

    TCP would still take what is written then, and lose it; a Unix socket refuses it.
    """
    if sock.family == socket.AF_UNIX:
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return False


def is_hung_up(sock: socket.socket) -> bool:
    """Tell whether the peer ended the stream, even if bytes of it are still unread."""
    poll = select.poll()
    poll.register(sock, _HUNG_UP)
    return bool(poll.poll(0))
