"""Pass messages on between two sockets."""

from busduct.transport.zmq_compat._waiting import ThreadWaiter
from busduct.transport.zmq_compat.constants import Flag, PollEvent
from busduct.transport.zmq_compat.error import Again, ContextTerminated
from busduct.transport.zmq_compat.socket import Socket

__all__ = ["device", "proxy"]

POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
# Of one side, before the other has its turn.
_BURST = 100


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> None:
    """Pass messages on between two sockets until their context is terminated.

    A message is taken only while the other side has room for it.

    Args:
        frontend: One side.
        backend: The other; may be the same.
        capture: Is sent a copy of each message.

    Raises:
        ContextTerminated: Of one of them.
        ZMQError: One of them is closed, or cannot send what it is to.
    """
    ways = [(frontend, backend)]
    if backend is not frontend:
        ways.append((backend, frontend))
    while True:
        if any(_pass_on(*way, capture) for way in ways):
            continue
        wanted = [
            (sink.underlying, POLLOUT) if _has(source) else (source.underlying, POLLIN)
            for source, sink in ways
        ]
        with ThreadWaiter(wanted) as waiter:
            if not any(_can_pass(*way) for way in ways):
                waiter.sleep(None)


def device(device_type: int, frontend: Socket, backend: Socket) -> None:
    """Do as `proxy`; the type is without meaning.

    Raises:
        ContextTerminated: Of one of them.
        ZMQError: One of them is closed, or cannot send what it is to.
    """
    proxy(frontend, backend)


def _has(source: Socket) -> bool:
    shared = source.underlying
    with shared.shared:
        shared.check()
        return bool(shared.events() & POLLIN)


def _can_pass(source: Socket, sink: Socket) -> bool:
    shared = sink.underlying
    if not _has(source):
        return False
    with shared.shared:
        shared.check()
        return bool(shared.events() & POLLOUT)


def _pass_on(source: Socket, sink: Socket, capture: Socket | None) -> bool:
    """Pass on what is there, to a bound; tell whether there was anything."""
    for num_passed in range(_BURST):
        if not _can_pass(source, sink):
            return num_passed > 0
        try:
            parts = source.recv_multipart(Flag.DONTWAIT)
        except ContextTerminated:
            raise
        except Again:
            return num_passed > 0
        sink.send_multipart(parts)
        if capture is not None:
            capture.send_multipart(parts)
    return True
