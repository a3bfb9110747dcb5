"""pyzmq under uvloop as servers drive it: `add_reader` on its descriptor, then drain.

A blocking socket of pyzmq never blocks here: all that is there is taken without waiting
into a deque, from which `recv` gives one message a call; a full `send` waits for the
descriptor. From 64 KiB up messages are not copied (`copy=False`, a `Frame` in libzmq's
memory), below they are `bytes`, which is the faster of the two at each size.
"""

import asyncio
from collections import deque
from typing import Any

import zmq
from driver import Task, main, report_rate
from round_trips import ask_with

MAX_DRAINED = 256
COPY_BELOW = 64 << 10


class DrainedSocket:
    """A socket of pyzmq with `send` and `recv` for one task."""

    def __init__(self, kind: int, task: Task) -> None:
        self._socket = zmq.Context().socket(kind)
        self._socket.linger = 0
        self._copy = task.nbytes < COPY_BELOW
        self._inbox: deque[Any] = deque()
        self._ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.get(zmq.FD), self._ready.set)
        self.bind, self.connect = self._socket.bind, self._socket.connect

    async def send(self, message: Any) -> None:
        """Send one, waiting while there is no room."""
        while True:
            # NB: before the try, which may take the edge that the descriptor shows.
            self._ready.clear()
            try:
                self._socket.send(message, zmq.NOBLOCK, copy=self._copy)
            except zmq.Again:
                await self._ready.wait()
            else:
                return

    async def recv(self) -> Any:
        """Take the next one, waiting for it."""
        while not self._inbox:
            self._ready.clear()
            self._drain()
            if not self._inbox:
                await self._ready.wait()
        return self._inbox.popleft()

    def _drain(self) -> None:
        for _ in range(MAX_DRAINED):
            try:
                self._inbox.append(self._socket.recv(zmq.NOBLOCK, copy=self._copy))
            except zmq.Again:
                return


class Peer:
    """The code of a server that has one loop."""

    async def send(self, task: Task) -> None:
        """Send without end."""
        tx = DrainedSocket(zmq.PUSH, task)
        tx.connect(task.endpoint)
        for message in task.first_messages():
            await tx.send(message)
        payload = task.payload
        while True:
            await tx.send(payload)

    async def receive(self, task: Task) -> None:
        """Receive one by one and count."""
        rx = DrainedSocket(zmq.PULL, task)
        rx.bind(task.endpoint)
        for index in range(task.num_checked):
            task.check(index, await rx.recv())
        meter, chunk = task.meter(), task.chunk
        while meter.more(chunk):
            for _ in range(chunk):
                await rx.recv()
        report_rate(meter)

    async def ping(self, task: Task) -> None:
        """Measure round trips between two PAIR sockets."""
        pair = DrainedSocket(zmq.PAIR, task)
        pair.connect(task.endpoint)
        await ask_with(task, pair.send, pair.recv)

    async def pong(self, task: Task) -> None:
        """Echo without end."""
        pair = DrainedSocket(zmq.PAIR, task)
        pair.bind(task.endpoint)
        while True:
            await pair.send(await pair.recv())


if __name__ == "__main__":
    main(Peer())
