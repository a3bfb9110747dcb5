"""Open a socket that is bound or connected already."""

from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["SocketOptions", "get_zmq_socket"]


class SocketOptions(TypedDict, total=False):
    """The options of `Context.socket`."""

    hwm_messages: int
    hwm_bytes: int
    linger: float | None
    max_message_bytes: int
    max_parts: int
    max_peers: int
    handshake_timeout: float
    reconnect_interval: float
    reconnect_max: float
    routing_id: bytes


def get_zmq_socket(
    context: "Context",
    socket_type: int,
    endpoint: str,
    bind: bool,
    **options: Unpack[SocketOptions],
) -> "Socket":
    """Open a socket and bind or connect it.

    Args:
        context: Owns the socket.
        socket_type: PUSH, PULL, DEALER or ROUTER.
        endpoint: ``ipc://PATH`` or ``tcp://HOST:PORT``.
        bind: Listen there; otherwise connect.
        **options: As of `Context.socket`.

    Raises:
        AddressInUseError: Somebody listens there.
        ConfigError: Not an endpoint, or an option out of its range.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
    """
    socket = context.socket(socket_type, **options)
    try:
        if bind:
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except BaseException:
        socket.close()
        raise
    return socket
