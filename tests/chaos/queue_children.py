"""Producers and consumers of one queue, in processes of their own, that are killed."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.ledger import Ledger, Word
from tests.chaos.queue_traffic import MAX_MESSAGES_EACH, index_of

PATIENCE_SECONDS = 50.0


def until(condition: Callable[[], Any]) -> Any:
    """Wait until `condition` gives something true; return that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.002)
    return result


class End:
    """One process with a role, which begins when it is told to."""

    def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
        self._stack = ExitStack()
        self.ledger = self._stack.enter_context(Ledger.opened())
        self.options = options
        options = {**options, "ledger": self.ledger.fd, "parent": os.getpid()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.queue_roles", json.dumps(options)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
            stdin=subprocess.PIPE,
            pass_fds=(self.ledger.fd,),
        )

    def begin(self) -> None:
        """Let it do what it is for."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    @property
    def is_ready(self) -> bool:
        """Whether it is under way; whoever ended before that is none of ours."""
        assert self.process.poll() is None, "the process ended by itself"
        return bool(self.ledger[Word.READY])

    def kill(self) -> None:
        """Kill it if it lives; what it wrote stays."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Kill it if it lives, and forget it."""
        self.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._stack.close()


class Ends:
    """All ends of one queue that a test has started."""

    def __init__(self, backend_name: str, directory: Path, rng: random.Random) -> None:
        self.address = f"ipc://{directory}/queue"
        self.producers: list[End] = []
        self.consumers: list[End] = []
        self._directory = directory
        self._environment = {"BUSDUCT_BACKEND": backend_name}
        self._rng = rng

    @property
    def living(self) -> list[End]:
        """The consumers that were not killed."""
        return [end for end in self.consumers if end.process.returncode is None]

    def serving(self) -> End | None:
        """Return the consumer that others register with, if one lives."""
        return next((end for end in self.living if end.ledger[Word.SERVING]), None)

    def produce(
        self,
        sizes: list[int],
        *,
        role: str = "produce",
        number: int | None = None,
        count: int = MAX_MESSAGES_EACH,
        pause: float = 0.03,
        **queue: Any,
    ) -> End:
        """Start a producer.

        Args:
            sizes: Of its messages.
            role: What it does.
            number: None for the next; the caller ends one of another number.
            count: Messages that it puts at most.
            pause: Seconds that it rests at most, now and then.
            queue: Options.
        """
        end = self._start(
            role,
            queue,
            number=len(self.producers) if number is None else number,
            sizes=sizes,
            count=count,
            pause=pause,
        )
        if number is None:
            self.producers.append(end)
        return end

    def consume(
        self, *, hold: int = 0, sits: bool = False, ack: str = "manual", **queue: Any
    ) -> End:
        """Start a consumer.

        Args:
            hold: Messages that it has, not acknowledged, before it finishes any.
            sits: It does not finish those though nothing else comes.
            ack: As of `QueueOptions`.
            queue: Further options.
        """
        path = f"{self._directory}/data-{len(self.consumers)}"
        end = self._start(
            "consume",
            {"ack": ack, **queue},
            hold=hold,
            sits=sits,
            data_endpoint=f"ipc://{path}",
        )
        self.consumers.append(end)
        return end

    def deliveries(self, number: int) -> list[tuple[int, int]]:
        """Return for each message of a producer how often it came.

        Namely how often as one that nobody had before, and how often again.
        """
        count = self.producers[number].ledger[Word.BEGUN]
        start = index_of(number, 0)
        assert count <= MAX_MESSAGES_EACH
        firsts, agains = [0] * count, [0] * count
        for end in self.consumers:
            times = end.ledger.times_received(start + count)[start:]
            for index, byte in enumerate(times):
                firsts[index] += byte & 15
                agains[index] += byte >> 4
        return list(zip(firsts, agains, strict=True))

    def total(self, word: Word) -> int:
        """Add up what all consumers wrote."""
        return sum(end.ledger[word] for end in self.consumers)

    def finish(self) -> None:
        """Let producers stop, and wait until consumers are done with everything."""
        for end in self.producers:
            if end.process.returncode is None:
                end.ledger[Word.STOP] = 1
        for end in self.producers:
            if end.process.returncode is None:
                until(lambda end=end: end.ledger[Word.DONE] or not end.is_ready)

    def close(self) -> None:
        """Kill all."""
        for end in (*self.producers, *self.consumers):
            end.close()
        for path in self._directory.iterdir():
            path.unlink()

    def _start(self, role: str, queue: dict[str, Any], **others: Any) -> End:
        options = {
            "role": role,
            "address": self.address,
            "queue": queue,
            "seed": self._rng.random(),
            "uvloop": self._rng.random() < 0.5,
            **others,
        }
        end = End(options, self._environment)
        end.begin()
        return end


@contextmanager
def ends(backend_name: str, directory: Path, rng: random.Random) -> Iterator[Ends]:
    """Give the ends of a queue, and kill them in the end."""
    those = Ends(backend_name, directory, rng)
    try:
        yield those
    finally:
        those.close()
