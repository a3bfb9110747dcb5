"""Open a socket that is bound or connected already."""

from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

if TYPE_CHECKING:
    from busduct._core import Context, Socket
    from busduct.transport.zmq_compat._base import BaseSocket
    from busduct.transport.zmq_compat.context import Context as CompatContext

    CompatSocketT = TypeVar("CompatSocketT", bound=BaseSocket)

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
    on_full: str | None
    immediate: bool
    heartbeat_interval: float | None
    heartbeat_timeout: float | None
    heartbeat_ttl: float | None
    backlog: int
    tcp_keepalive_idle: float | None
    tcp_keepalive_interval: float
    tcp_keepalive_count: int
    send_buffer_bytes: int
    recv_buffer_bytes: int
    probe_router: bool
    router_mandatory: bool
    router_handover: bool
    req_correlate: bool
    req_relaxed: bool
    xpub_verbose: bool
    max_subscriptions: int


@overload
def get_zmq_socket(
    context: "Context",
    socket_type: int,
    endpoint: str,
    bind: bool,
    **options: Unpack[SocketOptions],
) -> "Socket": ...


@overload
def get_zmq_socket(
    context: "CompatContext[CompatSocketT]",
    socket_type: int,
    endpoint: str,
    bind: bool,
    **options: Unpack[SocketOptions],
) -> "CompatSocketT": ...


def get_zmq_socket(
    context: "Context | CompatContext[Any]",
    socket_type: int,
    endpoint: str,
    bind: bool,
    **options: Unpack[SocketOptions],
) -> "Socket | BaseSocket":
    """Open a socket and bind or connect it.

    Args:
        context: Owns the socket; a context of `zmq_compat` gives a socket of its own
            class.
        socket_type: A kind, as of `Context.socket`.
        endpoint: ``ipc://PATH``, ``tcp://HOST:PORT`` or ``inproc://NAME``.
        bind: Listen there; otherwise connect.
        **options: As of `Context.socket`.

    Raises:
        AddressInUseError: Somebody listens there.
        ConfigError: Not an endpoint, or an option out of its range.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
        ZMQError: Instead of these, where the context is one of `zmq_compat`.
    """
    socket: Socket | BaseSocket = context.socket(socket_type, **options)
    try:
        if bind:
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except BaseException:
        socket.close()
        raise
    return socket
