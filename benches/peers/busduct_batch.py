"""busduct on uvloop, many messages a call: `send_many` and `recv_many`."""

from typing import Any

from driver import NUM_CHECKED, Task, main, report_rate

from busduct.transport import PULL, PUSH, Context


class Peer:
    """Code that has several messages at hand."""

    def __init__(self, **options: Any) -> None:
        """Take the options of the context."""
        self._options = options

    async def send(self, task: Task) -> None:
        """Send without end, up to 1 MiB or 256 messages a call."""
        async with Context(**self._options) as ctx:
            tx = ctx.socket(PUSH)
            tx.connect(task.endpoint)
            await tx.send_many(task.first_messages())
            batch = [task.payload] * task.chunk
            while True:
                await tx.send_many(batch)

    async def receive(self, task: Task) -> None:
        """Receive what is there, and count."""
        async with Context(**self._options) as ctx:
            rx = ctx.socket(PULL)
            rx.bind(task.endpoint)
            for index in range(NUM_CHECKED):
                task.check(index, await rx.recv())
            meter, count = task.meter(), 0
            while meter.more(count):
                count = 0
                while count < task.chunk:
                    count += len(await rx.recv_many())
            report_rate(meter)


if __name__ == "__main__":
    main(Peer())
