"""Options and questions of a connected, non-blocking byte stream."""

import os
import select
import socket
import struct
from typing import Final

from busduct._fallback._options import SocketOptions

__all__ = [
    "configure_buffers",
    "configure_stream",
    "has_ended",
    "has_unread",
    "is_hung_up",
    "is_other_user",
]

# What the kernel may hold of a stream. More hides a slow reader from the marks.
_KERNEL_BUFFER_NBYTES: Final = 1 << 20
# The kernel refuses more seconds, and more probes, than these.
_MAX_KEEPALIVE_SECONDS: Final = 32767
_MAX_KEEPALIVE_COUNT: Final = 127
# It takes a C int and, unless the system allows so much, lowers it itself.
_MAX_BUFFER_NBYTES: Final = 2**31 - 1
# Where the system cannot tell that the peer ended, only that both sides did.
_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def configure_stream(sock: socket.socket, options: SocketOptions) -> None:
    """Set the options of a stream that is to carry a link, before it is connected."""
    sock.setblocking(False)
    configure_buffers(sock, options)
    if sock.family == socket.AF_UNIX:
        if not options.send_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_NBYTES)
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.tcp_keepalive_idle is not None:
        _configure_keepalive(sock, options, options.tcp_keepalive_idle)


def configure_buffers(sock: socket.socket, options: SocketOptions) -> None:
    """Set the sizes that the caller chose.

    Of TCP they bound the window that is agreed on when a connection is made, so a
    listener has them too, for its connections to inherit.
    """
    for name, nbytes in (
        (socket.SO_SNDBUF, options.send_buffer_bytes),
        (socket.SO_RCVBUF, options.recv_buffer_bytes),
    ):
        if nbytes:
            most = min(nbytes, _MAX_BUFFER_NBYTES)
            sock.setsockopt(socket.SOL_SOCKET, name, most)


def _configure_keepalive(
    sock: socket.socket, options: SocketOptions, idle: float
) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = options.tcp_keepalive_interval
    count = min(options.tcp_keepalive_count, _MAX_KEEPALIVE_COUNT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _to_seconds(idle))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _to_seconds(interval))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def _to_seconds(duration: float) -> int:
    """Round to whole seconds, as the kernel counts them."""
    return int(min(duration, _MAX_KEEPALIVE_SECONDS) + 0.5)


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


def has_unread(sock: socket.socket) -> bool:
    """Tell whether bytes, or the stream's end, came and were not read."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
    return True


def is_hung_up(sock: socket.socket) -> bool:
    """Tell whether the peer ended the stream, even if bytes of it are still unread."""
    poll = select.poll()
    poll.register(sock, _HUNG_UP)
    return bool(poll.poll(0))


def is_other_user(sock: socket.socket) -> bool:
    """Tell whether the peer of a Unix socket is neither of our user nor root."""
    if not hasattr(socket, "SO_PEERCRED"):
        return False
    layout = struct.Struct("3i")
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    uid = layout.unpack(data)[1]
    return uid not in {os.geteuid(), 0}
