"""busduct on uvloop, one `await send()` and one `await recv()` a message."""

from typing import Any

from driver import Task, main, report_rate, skip, touch
from fan_out import END, Publishing
from idle import greet_with, wait_with
from round_trips import ask_with, one_at_a_time, report

from busduct.transport import (
    DEALER,
    PAIR,
    PUB,
    PULL,
    PUSH,
    REP,
    REQ,
    ROUTER,
    SUB,
    Context,
    Socket,
)


def require_leases() -> None:
    """End here if this busduct has none."""
    if not hasattr(Socket, "recv_lease"):
        skip("this busduct has no loans and leases")


class Peer:
    """A user's plain asyncio code."""

    def __init__(self, **options: Any) -> None:
        """Take the options of the context."""
        self._options = options

    async def send(self, task: Task) -> None:
        """Send without end."""
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUSH)
            tx.connect(task.endpoint)
            for message in task.first_messages():
                await tx.send(message)
            payload = task.payload
            while True:
                await tx.send(payload)

    async def receive(self, task: Task) -> None:
        """Receive one by one and count."""
        async with Context(**self._options) as ctx:
            rx = ctx.socket(PULL)
            rx.bind(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    await rx.recv()
            report_rate(meter)

    async def send_loan(self, task: Task) -> None:
        """Lend memory, fill it for what is checked, and send it without a copy."""
        require_leases()
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUSH)
            tx.connect(task.endpoint)
            for message in task.first_messages():
                loan = tx.loan(task.nbytes)
                with memoryview(loan) as memory:
                    memory[:] = message
                await tx.send(loan)
            nbytes = task.nbytes
            while True:
                await tx.send(tx.loan(nbytes))

    async def receive_view(self, task: Task) -> None:
        """Receive one by one as leases, look at each where it lies, and count."""
        require_leases()
        async with Context(**self._options) as ctx:
            rx = ctx.socket(PULL)
            rx.bind(task.endpoint)
            for index in range(task.num_checked):
                with await rx.recv_lease() as lease:
                    task.check(index, lease)
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    lease = await rx.recv_lease()
                    with memoryview(lease) as view:
                        touch(view)
                    lease.release()
            report_rate(meter)

    async def ping(self, task: Task) -> None:
        """Measure round trips between two PAIR sockets."""
        async with Context(**self._options) as ctx:
            sock = ctx.socket(PAIR, linger=0.0)
            sock.connect(task.endpoint)
            await ask_with(task, sock.send, sock.recv)

    async def pong(self, task: Task) -> None:
        """Echo without end."""
        async with Context(**self._options) as ctx:
            sock = ctx.socket(PAIR)
            sock.bind(task.endpoint)
            while True:
                await sock.send(await sock.recv())

    async def idle(self, task: Task) -> None:
        """Wait on PAIR sockets and tell what that costs."""
        async with Context(**self._options) as ctx:
            sockets = [ctx.socket(PAIR, linger=0.0) for _ in range(task.num_pairs)]
            for index, sock in enumerate(sockets):
                sock.bind(f"{task.endpoint}{index}")
            await wait_with(task, [sock.recv for sock in sockets])

    async def greet(self, task: Task) -> None:
        """Connect PAIR sockets, say who we are, and wait."""
        async with Context(**self._options) as ctx:
            sockets = [ctx.socket(PAIR) for _ in range(task.num_pairs)]
            for index, sock in enumerate(sockets):
                sock.connect(f"{task.endpoint}{index}")
            await greet_with([(sock.send, sock.recv) for sock in sockets])

    async def publish(self, task: Task) -> Publishing:
        """Publish one by one, at the pace of the slowest."""
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUB, on_full="wait", hwm_messages=task.hwm, linger=None)
            tx.bind(task.endpoint)
            await tx.wait_subscribers(task.num_subscribers)
            for message in task.first_messages():
                await tx.send(message)
            payload, chunk = task.payload, task.chunk
            publishing = Publishing(task.seconds)
            while publishing.more():
                for _ in range(chunk):
                    await tx.send(payload)
                publishing.count += chunk
            await tx.send(END)
            return publishing

    async def subscribe(self, task: Task) -> int:
        """Receive one by one and count."""
        async with Context(**self._options) as ctx:
            rx = ctx.socket(SUB, hwm_messages=task.hwm)
            rx.subscribe(b"")
            rx.connect(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            count = 0
            while await rx.recv():
                count += 1
            return count

    async def ask(self, task: Task) -> None:
        """Measure round trips."""
        async with Context(**self._options) as ctx:
            dealer = ctx.socket(DEALER, linger=0.0)
            dealer.connect(task.endpoint)
            await ask_with(task, dealer.send, dealer.recv)

    async def answer(self, task: Task) -> None:
        """Echo without end."""
        async with Context(**self._options) as ctx:
            router = ctx.socket(ROUTER)
            router.bind(task.endpoint)
            while True:
                await router.send_multipart(await router.recv_multipart())

    async def request(self, task: Task) -> None:
        """Measure round trips, each a request and its reply."""
        async with Context(**self._options) as ctx:
            requester = ctx.socket(REQ, linger=0.0)
            requester.connect(task.endpoint)
            report(await one_at_a_time(task, requester.send, requester.recv))

    async def reply(self, task: Task) -> None:
        """Reply without end."""
        async with Context(**self._options) as ctx:
            replier = ctx.socket(REP)
            replier.bind(task.endpoint)
            while True:
                await replier.send(await replier.recv())


if __name__ == "__main__":
    main(Peer())
