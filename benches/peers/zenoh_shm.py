"""zenoh with shared memory, between two sessions over a Unix socket.

From 3 KiB up, which is zenoh's own threshold, the sender copies each payload into a
buffer of a shared-memory provider and publishes that; below, the bytes go through the
socket, which zenoh gathers. The receiver blocks in `recv`, which waits without the
interpreter lock for zenoh's own threads. `receive` copies out by `to_bytes`. The Python
face has no view of a payload: `receive_view` takes each message and leaves it unread,
which is less work than the others do. A full queue makes the sender wait.
"""

import time
from typing import Any

from driver import Task, main, report_rate, skip
from round_trips import ask_blocking_with
from unix_socket import path_of

try:
    import zenoh
    from zenoh.shm import BlockOn, GarbageCollect, ShmProvider
except ImportError:
    skip("eclipse-zenoh is not installed")

SHARED_FROM = 3072
MIN_POOL_BYTES = 16 << 20
# Of the receiver's queue: the sender waits at about as much beyond it.
CAPACITY = 256


class Session:
    """One of the two processes."""

    def __init__(self, task: Task, side: str) -> None:
        path = path_of(task.endpoint)
        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("scouting/multicast/enabled", "false")
        config.insert_json5("transport/shared_memory/enabled", "true")
        other = "connect" if side == "listen" else "listen"
        config.insert_json5(f"{side}/endpoints", f'["unixsock-stream/{path}"]')
        config.insert_json5(f"{other}/endpoints", "[]")
        self._session = zenoh.open(config)
        self._nbytes = task.nbytes
        self._provider = None
        if task.nbytes >= SHARED_FROM:
            pool = max(MIN_POOL_BYTES, 2 * task.depth * task.nbytes)
            self._provider = ShmProvider.default_backend(pool)
        self._policy = BlockOn(GarbageCollect())
        self._publisher: Any = None
        self._subscriber: Any = None

    def open_sender(self, key: str) -> None:
        """Make a publisher, and wait for its subscriber."""
        block = zenoh.CongestionControl.BLOCK
        self._publisher = self._session.declare_publisher(key, congestion_control=block)
        while not self._publisher.matching_status.matching:
            time.sleep(0.005)

    def open_receiver(self, key: str) -> None:
        """Make a subscriber."""
        channel = zenoh.handlers.FifoChannel(CAPACITY)
        self._subscriber = self._session.declare_subscriber(key, channel)

    def send(self, message: bytes) -> None:
        """Copy a message into shared memory, if it is large, and publish it."""
        if self._provider is None:
            self._publisher.put(message)
        else:
            buffer = self._provider.alloc(self._nbytes, self._policy)
            buffer[:] = message
            self._publisher.put(buffer)

    def send_unfilled(self) -> None:
        """Publish a buffer as it is."""
        assert self._provider is not None
        self._publisher.put(self._provider.alloc(self._nbytes, self._policy))

    def take(self) -> Any:
        """Take a payload, waiting for it."""
        return self._subscriber.recv().payload

    def recv(self) -> bytes:
        """Take a message, copied out."""
        message: bytes = self._subscriber.recv().payload.to_bytes()
        return message


class Peer:
    """Blocking code; zenoh has threads of its own."""

    def send(self, task: Task) -> None:
        """Send without end."""
        session = self._sender(task)
        while True:
            session.send(task.payload)

    def send_loan(self, task: Task) -> None:
        """Send buffers without end that are not filled."""
        session = self._sender(task)
        while True:
            session.send_unfilled()

    def receive(self, task: Task) -> None:
        """Receive one by one, copied out, and count."""
        self._receive(task, Session.recv)

    def receive_view(self, task: Task) -> None:
        """Receive one by one, unread, and count."""
        self._receive(task, Session.take)

    def ping(self, task: Task) -> None:
        """Measure round trips over a key for each direction."""
        session = Session(task, "connect")
        session.open_receiver("back")
        session.open_sender("there")
        ask_blocking_with(task, session.send, session.recv)

    def pong(self, task: Task) -> None:
        """Echo without end."""
        session = Session(task, "listen")
        session.open_receiver("there")
        session.open_sender("back")
        while True:
            session.send(session.recv())

    def _sender(self, task: Task) -> Session:
        session = Session(task, "connect")
        session.open_sender("there")
        for message in task.first_messages():
            session.send(message)
        return session

    def _receive(self, task: Task, recv: Any) -> None:
        session = Session(task, "listen")
        session.open_receiver("there")
        for index in range(task.num_checked):
            task.check(index, session.recv())
        meter, chunk = task.meter(), task.chunk
        while meter.more(chunk):
            for _ in range(chunk):
                recv(session)
        report_rate(meter)


if __name__ == "__main__":
    main(Peer())
