"""A bare ping-pong of two eventfds on uvloop: what waking the other side costs.

No payload, no queue and no coroutine: each side's `add_reader` callback reads its
eventfd and writes the other's. What a round trip over shared memory on uvloop cannot
beat unless it spins. Has nothing to be outstanding with.
"""

import asyncio
import os
import time

from driver import Task, main
from round_trips import Latencies, report
from unix_socket import offer, take


class Peer:
    """Two processes with two eventfds."""

    async def ping(self, task: Task) -> None:
        """Measure round trips."""
        mine, other = take(task.endpoint, 2)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        latencies, start = Latencies(task.seconds), 0

        def begin() -> None:
            nonlocal start
            start = time.perf_counter_ns()
            os.eventfd_write(other, 1)

        def on_reply() -> None:
            os.eventfd_read(mine)
            latencies.add(time.perf_counter_ns() - start)
            if latencies.more():
                begin()
            else:
                done.set()

        loop.add_reader(mine, on_reply)
        begin()
        await done.wait()
        loop.remove_reader(mine)
        report(latencies.as_dict())

    async def pong(self, task: Task) -> None:
        """Echo without end."""
        mine, other = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2))
        await asyncio.to_thread(offer, task.endpoint, [other, mine])

        def on_request() -> None:
            os.eventfd_read(mine)
            os.eventfd_write(other, 1)

        asyncio.get_running_loop().add_reader(mine, on_request)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(Peer())
