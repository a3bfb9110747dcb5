"""Processes that are killed, or stopped, at a moment that nobody chose."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

from tests.chaos.ledger import Ledger, Word

# The move of a connection takes a few; what follows is traffic.
MAX_EARLY_SECONDS = 0.004
MAX_LATE_SECONDS = 0.03


class Child:
    """One process with a role, which begins when it is told to."""

    def __init__(
        self,
        role: str,
        kind: str,
        endpoint: str,
        *,
        way: str = "connect",
        context: dict[str, Any] | None = None,
        socket: dict[str, Any] | None = None,
        ledger: Ledger | None = None,
        limits: dict[str, int] | None = None,
        **arguments: Any,
    ) -> None:
        self.arguments = arguments
        self._stack = ExitStack()
        self.ledger = ledger or self._stack.enter_context(Ledger.opened())
        options = {
            "role": role,
            "kind": kind,
            "endpoint": endpoint,
            "way": way,
            "context": context or {},
            "socket": socket or {},
            "limits": limits or {},
            "arguments": arguments,
            "ledger": self.ledger.fd,
            "parent": os.getpid(),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.roles", json.dumps(options)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            pass_fds=(self.ledger.fd,),
        )
        self._timer: threading.Thread | None = None
        self._killed_at = 0.0

    def begin(self) -> None:
        """Let it do what it is for."""
        assert self.process.stdin is not None
        self.ledger[Word.READY] = 0
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    @property
    def is_ready(self) -> bool:
        """Whether it is under way; whoever ended before that is none of ours."""
        assert self.process.poll() is None, "the process ended by itself"
        return bool(self.ledger[Word.READY])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill_within(self, seconds: float) -> None:
        """Kill it so long from here, from another thread."""

        def kill() -> None:
            time.sleep(seconds)
            self._killed_at = time.monotonic()
            self.process.kill()

        self._timer = threading.Thread(target=kill)
        self._timer.start()

    def kill(self) -> None:
        """Kill it at once."""
        self._killed_at = time.monotonic()
        self.process.kill()

    @property
    def killed_at(self) -> float:
        """When it was killed; 0 before that."""
        return self._killed_at

    def end_process(self) -> None:
        """Kill it if it lives; what it wrote stays."""
        if self._timer is not None:
            self._timer.join()
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill it if it lives, and forget it."""
        self.end_process()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._stack.close()


@contextmanager
def child(*arguments: Any, **options: Any) -> Iterator[Child]:
    """Give a process that has begun."""
    process = Child(*arguments, **options)
    try:
        process.begin()
        yield process
    finally:
        process.end()


@contextmanager
def nursery(makers: Iterable[Callable[[], Child]]) -> Iterator[Iterator[Child]]:
    """Give processes one after the other, each begun, and ended when the next is taken.

    The next starts while the one before lives, for that takes longest.
    """
    makers = iter(makers)
    started: list[Child] = []

    def start() -> None:
        for make in islice(makers, 1):
            started.append(make())

    def each() -> Iterator[Child]:
        while started:
            started[0].begin()
            start()
            yield started[0]
            started.pop(0).end()

    start()
    try:
        yield each()
    finally:
        for left in started:
            left.end()


def moment(rng: random.Random) -> tuple[bool, float]:
    """Draw when to kill: whether amid traffic, and how long after its begin."""
    amid_traffic = rng.random() < 0.8
    longest = MAX_LATE_SECONDS if amid_traffic else MAX_EARLY_SECONDS
    return amid_traffic, rng.uniform(0, longest)
