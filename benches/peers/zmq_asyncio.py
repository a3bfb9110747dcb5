"""pyzmq's asyncio sockets on uvloop."""

import asyncio

import zmq
import zmq.asyncio
from driver import Task, main, report_rate
from fan_out import END, Publishing
from idle import greet_with, wait_with
from round_trips import ask_with, one_at_a_time, report


async def send_waiting(tx: zmq.asyncio.Socket, payload: bytes) -> None:
    """Send when there is room: zmq.asyncio takes an XPUB to be writable always."""
    while True:
        try:
            return await tx.send(payload)
        except zmq.Again:
            await asyncio.sleep(0)


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
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    await rx.recv()
            report_rate(meter)

    async def idle(self, task: Task) -> None:
        """Wait on PAIR sockets and tell what that costs."""
        ctx = zmq.asyncio.Context()
        sockets = [ctx.socket(zmq.PAIR) for _ in range(task.num_pairs)]
        for index, sock in enumerate(sockets):
            sock.bind(f"{task.endpoint}{index}")
        await wait_with(task, [sock.recv for sock in sockets])
        ctx.destroy(linger=0)

    async def greet(self, task: Task) -> None:
        """Connect PAIR sockets, say who we are, and wait."""
        ctx = zmq.asyncio.Context()
        sockets = [ctx.socket(zmq.PAIR) for _ in range(task.num_pairs)]
        for index, sock in enumerate(sockets):
            sock.connect(f"{task.endpoint}{index}")
        await greet_with([(sock.send, sock.recv) for sock in sockets])

    async def publish(self, task: Task) -> Publishing:
        """Publish one by one, at the pace of the slowest."""
        with zmq.asyncio.Context() as ctx, ctx.socket(zmq.XPUB) as tx:
            tx.sndhwm, tx.xpub_nodrop, tx.xpub_verbose = task.hwm, 1, 1
            tx.bind(task.endpoint)
            for _ in range(task.num_subscribers):
                await tx.recv()
            for message in task.first_messages():
                await send_waiting(tx, message)
            payload, chunk = task.payload, task.chunk
            publishing = Publishing(task.seconds)
            while publishing.more():
                for _ in range(chunk):
                    await send_waiting(tx, payload)
                publishing.count += chunk
            await send_waiting(tx, END)
            await (
                tx.recv()
            )  # That the last has left: closing would lose what is queued.
            return publishing

    async def subscribe(self, task: Task) -> int:
        """Receive one by one and count."""
        with zmq.asyncio.Context() as ctx, ctx.socket(zmq.SUB) as rx:
            rx.rcvhwm, rx.subscribe = task.hwm, b""
            rx.connect(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            count = 0
            while await rx.recv():
                count += 1
            return count

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

    async def request(self, task: Task) -> None:
        """Measure round trips, each a request and its reply."""
        with zmq.asyncio.Context() as ctx, ctx.socket(zmq.REQ) as requester:
            requester.linger = 0
            requester.connect(task.endpoint)
            report(await one_at_a_time(task, requester.send, requester.recv))

    async def reply(self, task: Task) -> None:
        """Reply without end."""
        replier = zmq.asyncio.Context().socket(zmq.REP)
        replier.bind(task.endpoint)
        while True:
            await replier.send(await replier.recv())


if __name__ == "__main__":
    main(Peer())
