"""busduct's BroadcastQueue on uvloop, one `await send()` and `await recv()` an item.

Each item is copied in once, and out once by each reader as `bytes`.
"""

import asyncio

from driver import Task, main, skip
from fan_out import END, Publishing
from unix_socket import fetch, hand_out

try:
    from busduct.transport import BroadcastHandle, BroadcastQueue, BroadcastReader
except ImportError:
    skip("this busduct has no BroadcastQueue")


class Peer:
    """The loop of a tensor-parallel worker, without the work."""

    async def publish(self, task: Task) -> Publishing:
        """Publish one by one, at the pace of the slowest."""
        count = task.num_subscribers
        async with BroadcastQueue(count, endpoint=task.endpoint, linger=None) as queue:
            handle = str(queue.handle)
            await asyncio.to_thread(hand_out, f"{task.endpoint}-handle", handle, count)
            await queue.wait_ready()
            for message in task.first_messages():
                await queue.send(message)
            payload, chunk = task.payload, task.chunk
            publishing = Publishing(task.seconds)
            while publishing.more():
                for _ in range(chunk):
                    await queue.send(payload)
                publishing.count += chunk
            await queue.send(END)
            return publishing

    async def subscribe(self, task: Task) -> int:
        """Receive one by one and count."""
        handle = await asyncio.to_thread(fetch, f"{task.endpoint}-handle")
        async with BroadcastReader(BroadcastHandle.parse(handle), task.rank) as reader:
            for index in range(task.num_checked):
                task.check(index, await reader.recv())
            return await self.count(reader)

    async def count(self, reader: BroadcastReader[bytes]) -> int:
        """Count items up to the empty one."""
        count = 0
        while await reader.recv():
            count += 1
        return count


if __name__ == "__main__":
    main(Peer())
