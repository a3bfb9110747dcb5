"""What the HTTP clients of the bench share: their task, their clock, their checks.

A peer gives `main` a coroutine function of a `Task`. It keeps `num_connections`
requests under way, each on a connection of its own that is kept alive, calls `note`
with what came of each, and returns when that says so.
"""

import argparse
import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import http_echo
import uvloop

BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "x" * 900}], "stream": True}
).encode()
START_SECONDS = 10.0


@dataclass
class Task:
    """One measurement.

    Attributes:
        port: Of the server, on loopback.
        num_events: In each response; 0 for one of JSON.
        seconds: Of measuring, after a quarter of it to warm up.
        num_connections: Requests under way at a time.
    """

    port: int
    num_events: int
    seconds: float
    num_connections: int
    is_over: bool = False
    _num_done: int = 0
    _begin: tuple[float, float, int] | None = None
    figures: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reply = http_echo.reply(0)
        self._whole = reply.partition(b"\r\n\r\n")[2]
        self._start = time.perf_counter() + self.seconds / 4

    def note(self, came: bytes | int) -> bool:
        """Count a response; tell whether to go on.

        Args:
            came: The body, or how many events it had with the last.

        Raises:
            ValueError: It is not what the server sends.
        """
        due = self.num_events + 1 if self.num_events else self._whole
        if came != due:
            msg = f"got {came!r} where {due!r} is due"
            raise ValueError(msg)
        self._num_done += 1
        if self._num_done % 16 == 0 and not self.is_over:
            self._look_at_clock()
        return not self.is_over

    def _look_at_clock(self) -> None:
        now = time.perf_counter()
        if now < self._start:
            return
        used = time.process_time()
        if self._begin is None:
            self._begin = (now, used, self._num_done)
            return
        begin, used_before, num_before = self._begin
        if now - begin < self.seconds:
            return
        self.is_over = True
        num = self._num_done - num_before
        self.figures["rate"] = num / (now - begin)
        self.figures["cpu_us"] = 1e6 * (used - used_before) / num


def wait_for_server(port: int) -> None:
    """Return once somebody accepts."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def main(ask: Callable[[Task], Awaitable[None]]) -> None:
    """Do what the command line asks for and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["ask"])
    parser.add_argument("port", type=int)
    parser.add_argument("num_events", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("num_connections", type=int)
    parser.add_argument("--core", type=int, help="to run on; any by default")
    arguments = vars(parser.parse_args())
    if (core := arguments.pop("core")) is not None:
        os.sched_setaffinity(0, {core})
    del arguments["role"]
    wait_for_server(arguments["port"])
    task = Task(**arguments)

    async def run() -> None:
        async with asyncio.timeout(START_SECONDS + 3 * task.seconds):
            await ask(task)

    uvloop.run(run())
    print(json.dumps(task.figures), flush=True)
