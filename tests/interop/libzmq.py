"""What the tests need of pyzmq: joining, transferring, watching."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

TIMEOUT_MS = 20_000

Parts = list[bytes]


class Foreign:
    """A libzmq context that closes its sockets itself, lingering not at all."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._watches: list[Events] = []

    def socket(self, kind: int, **options: int | bytes) -> zmq.Socket[bytes]:
        """Open a socket whose calls fail after 20 s instead of hanging."""
        sock = self._context.socket(kind)
        self._sockets.append(sock)
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = TIMEOUT_MS
        for name, value in options.items():
            sock.set(getattr(zmq, name), value)
        return sock

    def watch(self, sock: zmq.Socket[bytes]) -> "Events":
        """Count the events of a socket."""
        self._watches.append(Events(sock))
        return self._watches[-1]

    def close(self) -> None:
        """Close the sockets and the context. Idempotent."""
        while self._watches:
            self._watches.pop().close()
        for sock in self._sockets:
            sock.close()
        if not self._context.closed:
            self._context.term()


def bind(theirs: zmq.Socket[bytes], address: str) -> str:
    """Bind, and return the endpoint really bound."""
    theirs.bind(address)
    return theirs.getsockopt_string(zmq.LAST_ENDPOINT)


def join(ours: Any, theirs: zmq.Socket[bytes], address: str, ours_binds: bool) -> str:
    """Connect the two, the one or the other binding; return the endpoint."""
    if ours_binds:
        endpoint = str(ours.bind(address))
        theirs.connect(endpoint)
    else:
        endpoint = bind(theirs, address)
        ours.connect(endpoint)
    return endpoint


async def recv(theirs: zmq.Socket[bytes]) -> Parts:
    """Receive with libzmq while our loop goes on."""
    return await asyncio.to_thread(theirs.recv_multipart)


async def to_theirs(
    ours: Any, theirs: zmq.Socket[bytes], messages: Sequence[Parts]
) -> list[Parts]:
    """Send from our socket; return what libzmq's received meanwhile."""

    def receive() -> list[Parts]:
        return [theirs.recv_multipart() for _ in messages]

    receiving = asyncio.create_task(asyncio.to_thread(receive))
    for parts in messages:
        await ours.send_multipart(parts)
    return await receiving


async def to_ours(
    theirs: zmq.Socket[bytes], ours: Any, messages: Sequence[Parts]
) -> list[Parts]:
    """Send from libzmq's socket; return what ours received meanwhile."""

    def send() -> None:
        for parts in messages:
            theirs.send_multipart(parts)

    sending = asyncio.create_task(asyncio.to_thread(send))
    received = [await ours.recv_multipart() for _ in messages]
    await sending
    return received


async def while_stirring(theirs: zmq.Socket[bytes], waiting: Awaitable[Any]) -> Any:
    """Await something while libzmq's socket is called again and again.

    One that is bound learns of its peers, and tells them what it subscribed to, only
    within such calls.
    """
    task = asyncio.ensure_future(waiting)
    while not task.done():
        theirs.poll(0)
        await asyncio.wait([task], timeout=0.002)
    return await task


class Events:
    """Count the events of a libzmq socket, on a thread, until `close`."""

    def __init__(self, sock: zmq.Socket[bytes]) -> None:
        self.counts: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._sock = sock
        self._monitor = sock.get_monitor_socket()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; the counts stay."""
        self._sock.monitor(None, 0)
        self._thread.join()
        self._monitor.close()

    def wait_for(self, event: int) -> None:
        """Block this thread, and the loop that runs on it, until `event` was seen."""
        with self._changed:
            seen = self._changed.wait_for(lambda: self.counts[event], TIMEOUT_MS / 1000)
        assert seen, "the event never came"

    def _watch(self) -> None:
        event = 0
        while event != zmq.EVENT_MONITOR_STOPPED:
            event = recv_monitor_message(self._monitor)["event"]
            with self._changed:
                self.counts[event] += 1
                self._changed.notify_all()
