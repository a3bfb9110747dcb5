"""busduct on uvloop, one `await send()` and one `await recv()` a message."""

from typing import Any

from driver import NUM_CHECKED, Task, ask_with, main, report_rate

from busduct.transport import DEALER, PULL, PUSH, ROUTER, Context


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
            for index in range(NUM_CHECKED):
                task.check(index, await rx.recv())
            meter, chunk = task.meter(), task.chunk
            while meter.more(chunk):
                for _ in range(chunk):
                    await rx.recv()
            report_rate(meter)

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


if __name__ == "__main__":
    main(Peer())
