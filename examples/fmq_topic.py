"""Workers publish what they do under keys; a dashboard and a late reader follow.

All are in one process here, only to make the example short: a topic works alike from
any number of processes, whoever starts first.

    python examples/fmq_topic.py
"""

import asyncio

from busduct.fmq import FMQ, TopicMessage


async def main() -> None:
    """Publish before, and after, somebody listens."""
    async with FMQ() as fmq:
        gpu0, gpu1, cpu = (fmq.topic("load") for _ in range(3))
        for queued in range(5):
            await gpu0.pub({"queued": queued}, key="gpu.0")

        dashboard = fmq.topic("load")
        lines: list[str] = []
        has_all = asyncio.Event()

        async def show(message: TopicMessage) -> None:
            lines.append(f"{message.key} has {message.payload['queued']} queued")
            if len(lines) == 4:
                has_all.set()

        # Of each key the last two that were published, and all that follow.
        await dashboard.sub(show, "gpu.*", replay=2)

        await cpu.pub({"queued": 9}, key="cpu.0")
        await gpu1.pub({"queued": 7}, key="gpu.1")

        # Nobody misses this one: it waits for the dashboard and for this reader.
        async with fmq.topic("load").messages("gpu.0") as reader:
            await gpu0.pub({"queued": 0}, key="gpu.0", wait_for_subscribers=2)
            message = await reader.recv()
            print(f"message {message.msg_id} of {message.key}: {message.payload}")

        await has_all.wait()
        await dashboard.stop_sub()
        print(*sorted(lines), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
