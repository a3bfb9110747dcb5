"""What every peer of the transport benchmarks shares: its task, its clock, its checks.

A peer's file holds one class with some of these methods and calls `main` with it:

- `receive` binds, checks the first messages, then counts until the meter is done, and
  ends up with each message as an object of its own (`bytes`, unless it says otherwise);
- `receive_view` does the same, but looks at each message where it lies: it reads the
  first byte and the last, by `touch`, and gives it back;
- `send` connects and sends, copying the payload in, until it is ended;
- `send_loan` does the same with memory that it borrows and, after the messages that are
  checked, does not fill;
- `ping` connects, checks the first replies, then measures round trips between two
  sockets that have only each other; `ask` (DEALER) and `request` (REQ) do it with those
  patterns;
- `pong`, `answer` (ROUTER) and `reply` (REP) bind and echo until they are ended;
- `idle` binds `task.num_pairs` sockets and `greet` connects as many, each to wait for
  messages that do not come (see idle.py);
- `publish` and `subscribe` are what the role `fan_out` runs (see fan_out.py).

Methods may be coroutines, which run on uvloop. The receiving, the asking and `fan_out`
print one JSON object. Who cannot do a role here calls `skip`.
"""

import argparse
import inspect
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import fan_out
import uvloop

ROLES = (
    *("send", "send_loan", "receive", "receive_view"),
    *("ping", "pong", "ask", "answer", "request", "reply", "fan_out", "idle", "greet"),
)


@dataclass(frozen=True)
class Task:
    """One measurement, as the runner asked for it."""

    endpoint: str
    nbytes: int
    seconds: float
    payload: bytes = field(repr=False)
    num_subscribers: int = 0
    batch: int = 0
    num_pairs: int = 0
    rank: int = 0

    @property
    def num_checked(self) -> int:
        """Messages that are checked: 8 MiB of them, 100 at most."""
        return max(1, min(100, (8 << 20) // self.nbytes))

    @property
    def hwm(self) -> int:
        """Messages that a queue holds in a fan-out: 8 MiB of them, 1000 at most."""
        return max(1, min(1000, (8 << 20) // self.nbytes))

    @property
    def depth(self) -> int:
        """Messages under way in shared memory: 512 KiB of them, but 8 to 1000."""
        return max(8, min(1000, (512 << 10) // self.nbytes))

    @property
    def chunk(self) -> int:
        """Messages of a batch, and between two looks at the clock.

        1 MiB of them, but as many as `batch` says, or 256, at most.
        """
        return max(1, min(self.batch or 256, (1 << 20) // self.nbytes))

    def numbered(self, index: int) -> bytes:
        """Return the payload of one of the checked messages."""
        return index.to_bytes(8, "big") + self.payload[8:]

    def check(self, index: int, received: Any) -> None:
        """Compare a checked message with what was sent.

        Raises:
            ValueError: It is another one, or damaged.
        """
        if bytes(received) != self.numbered(index):
            msg = f"message {index} of {self.nbytes} bytes did not arrive as sent"
            raise ValueError(msg)

    def meter(self) -> "Meter":
        """Start the clock."""
        return Meter(self.seconds)

    def first_messages(self) -> list[bytes]:
        """Return the messages that are sent to be checked."""
        return [self.numbered(index) for index in range(self.num_checked)]


class Meter:
    """Count messages for a fixed time after a warm-up of a quarter of it."""

    def __init__(self, seconds: float) -> None:
        self._begin = time.perf_counter() + seconds / 4
        self._end = self._begin + seconds
        self._count = 0
        self._counted_from = 0.0
        self.rate = 0.0

    def more(self, count: int) -> bool:
        """Add what came since the last call; return whether to go on."""
        now = time.perf_counter()
        if not self._counted_from:
            if now >= self._begin:
                self._counted_from = now
            return True
        self._count += count
        if now < self._end:
            return True
        self.rate = self._count / (now - self._counted_from)
        return False


def touch(view: memoryview) -> int:
    """Read the first byte of a message and the last."""
    return view[0] ^ view[-1]


def skip(reason: str) -> NoReturn:
    """Tell the runner that this peer cannot do what is asked of it, and end."""
    print(json.dumps({"skipped": reason}), flush=True)
    sys.exit()


def report_rate(meter: Meter) -> None:
    """Print what `receive` measured."""
    print(json.dumps({"rate": meter.rate}), flush=True)


def perform(method: Any, task: Task) -> Any:
    """Run one method of a peer, on uvloop if it is a coroutine."""
    if inspect.iscoroutinefunction(method):
        return uvloop.run(method(task))
    return method(task)


def main(peer: Any) -> None:
    """Do what the command line asks of `peer`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("endpoint")
    parser.add_argument("nbytes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("num_subscribers", type=int, nargs="?", default=0)
    parser.add_argument("--batch", type=int, default=0, help="0: as it likes")
    parser.add_argument("--num-pairs", type=int, default=0, help="of the idle")
    parser.add_argument("--core", type=int, help="to run on; any by default")
    arguments = vars(parser.parse_args())
    if (core := arguments.pop("core")) is not None:
        os.sched_setaffinity(0, {core})
    role = arguments.pop("role")
    payload = random.Random(arguments["nbytes"]).randbytes(arguments["nbytes"])
    task = Task(**arguments, payload=payload)
    if role == "fan_out":
        rate = fan_out.measure(peer, task, perform)
        print(json.dumps({"rate": rate}), flush=True)
    else:
        method = getattr(peer, role, None) or skip(f"it has no role {role}")
        perform(method, task)
