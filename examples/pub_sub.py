"""Publish typed messages; a subscriber that comes late gets the last ones, too.

Both ends are in one process here, only to make the example short.

    python examples/pub_sub.py
"""

import asyncio
import tempfile

import msgspec

from busduct.transport import (
    Context,
    MessageCodec,
    MessagePublisher,
    MessageSubscriber,
)


class Load(msgspec.Struct):
    """What a worker tells about itself."""

    worker: str
    queued: int


CODEC = MessageCodec(Load, topic=lambda load: f"load.{load.worker}")


async def main(address: str) -> None:
    """Publish before, and after, somebody listens."""
    async with Context() as ctx, MessagePublisher(CODEC, address, ctx) as publisher:
        for queued in range(5):
            publisher.publish(Load("gpu0", queued))
        async with MessageSubscriber(
            CODEC,
            publisher.bind_address,
            ctx,
            topics=["load."],
            replay=2,
            on_gap=lambda topic, first, count: print(f"{topic!r} misses {count}"),
        ) as subscriber:
            # What is published from here on will arrive.
            await subscriber.wait_ready(timeout=10.0)
            publisher.publish(Load("gpu1", 7))
            async for load in subscriber:
                print(f"{load.worker} has {load.queued} requests queued")
                if load.worker == "gpu1":
                    break


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(f"ipc://{directory}/load"))
