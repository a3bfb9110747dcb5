"""busduct on uvloop, many messages a call: `send_many` and `recv_many`."""

from typing import Any

from driver import Task, main, report_rate
from fan_out import END, Publishing

from busduct.transport import PUB, PULL, PUSH, SUB, Context


class Peer:
    """Code that has several messages at hand."""

    def __init__(self, **options: Any) -> None:
        """Take the options of the context."""
        self._options = options

    async def send(self, task: Task) -> None:
        """Send without end, up to 1 MiB or 256 messages a call, or a batch."""
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUSH)
            tx.connect(task.endpoint)
            await tx.send_many(task.first_messages())
            batch = [task.payload] * task.chunk
            while True:
                await tx.send_many(batch)

    async def receive(self, task: Task) -> None:
        """Receive what is there, at most a batch a call, and count."""
        async with Context(**self._options) as ctx:
            rx = ctx.socket(PULL)
            rx.bind(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            meter, count, max_n = task.meter(), 0, task.batch or 1024
            while meter.more(count):
                count = 0
                while count < task.chunk:
                    count += len(await rx.recv_many(max_n))
            report_rate(meter)

    async def publish(self, task: Task) -> Publishing:
        """Publish up to 1 MiB or 256 messages a call, at the pace of the slowest."""
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUB, on_full="wait", hwm_messages=task.hwm, linger=None)
            tx.bind(task.endpoint)
            await tx.wait_subscribers(task.num_subscribers)
            await tx.send_many(task.first_messages())
            publishing, batch = Publishing(task.seconds), [task.payload] * task.chunk
            while publishing.more():
                await tx.send_many(batch)
                publishing.count += len(batch)
            await tx.send(END)
            return publishing

    async def subscribe(self, task: Task) -> int:
        """Receive what is there, and count."""
        async with Context(**self._options) as ctx:
            rx = ctx.socket(SUB, hwm_messages=task.hwm)
            rx.subscribe(b"")
            rx.connect(task.endpoint)
            for index in range(task.num_checked):
                task.check(index, await rx.recv())
            count = 0
            while (batch := await rx.recv_many())[-1]:
                count += len(batch)
            return count + len(batch) - 1


if __name__ == "__main__":
    main(Peer())
