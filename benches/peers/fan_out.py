"""One publisher and many subscribers, each a process of its own.

A peer's `publish(task)` binds, waits until all subscribers are there, sends the
messages that are checked, starts a `Publishing`, publishes and counts while that has
time left, and ends with an empty message. A peer's `subscribe(task)` checks the first
messages and returns how many others came before the empty one; `task.rank` counts
subscribers from 0.

Nothing may be lost: whoever publishes waits for the slowest, and each subscriber must
have counted as many messages as were published.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driver import Task

END = b""


class Publishing:
    """How much was published, and since when."""

    def __init__(self, seconds: float) -> None:
        self.began = time.perf_counter()
        self._deadline = self.began + seconds
        self.count = 0

    def more(self) -> bool:
        """Return whether there is time left."""
        return time.perf_counter() < self._deadline


def measure(peer: Any, task: "Task", perform: Callable[..., Any]) -> float:
    """Return the messages a second that reach all subscribers, to the last of them.

    Raises:
        ValueError: A subscriber failed, or did not get every message.
    """
    reading, writing = os.pipe()
    pids = []
    for rank in range(task.num_subscribers):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.close(reading)
            run_subscriber(peer, replace(task, rank=rank), perform, writing)
    os.close(writing)
    try:
        published: Publishing = perform(peer.publish, task)
        with os.fdopen(reading) as lines:
            found = [json.loads(line) for line in lines]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if [each["count"] for each in found] != [published.count] * task.num_subscribers:
        msg = f"{published.count} messages published, these arrived: {found}"
        raise ValueError(msg)
    # The clock is the same in all processes of one machine.
    last = max(each["ended"] for each in found)
    return published.count / (last - published.began)


def run_subscriber(
    peer: Any, task: "Task", perform: Callable[..., Any], writing: int
) -> None:
    """Subscribe in a forked process, report and exit."""
    try:
        count = perform(peer.subscribe, task)
        line = json.dumps({"count": count, "ended": time.perf_counter()}) + "\n"
        os.write(writing, line.encode())
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)
