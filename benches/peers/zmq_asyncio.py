"""pyzmq's asyncio sockets on uvloop."""

import zmq
import zmq.asyncio
from driver import NUM_CHECKED, Task, ask_with, main, report_rate


class Peer:
    """The same code as a user of busduct writes, on `zmq.asyncio`."""

    async def send(self, task: Task) -> None:
        """Send without end."""
        tx = zmq.asyncio.Context().socket(zmq.PUSH)
        tx.connect(task.endpoint)
        for message in task.first_messages():
            await tx.send(message)
        payload = task.payload
        while True:
            await tx.send(payload)

    async def receive(self, task: Task) -> None:
        """Receive one by one and count."""
        with zmq.asyncio.Context() as ctx, ctx.socket(zmq.PULL) as rx:
            rx.bind(task.endpoint)
            for index in range(NUM_CHECKED):
                task.check(index, await rx.recv())
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    await rx.recv()
            report_rate(meter)

    async def ask(self, task: Task) -> None:
        """Measure round trips."""
        with zmq.asyncio.Context() as ctx, ctx.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(task.endpoint)
            await ask_with(task, dealer.send, dealer.recv)

    async def answer(self, task: Task) -> None:
        """Echo without end."""
        router = zmq.asyncio.Context().socket(zmq.ROUTER)
        router.bind(task.endpoint)
        while True:
            await router.send_multipart(await router.recv_multipart())


if __name__ == "__main__":
    main(Peer())
