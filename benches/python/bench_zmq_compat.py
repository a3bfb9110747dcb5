"""pyzmq's face beside pyzmq: the same program over TCP, with another import.

The two take turns in processes of their own, in another order each run, and check every
message.

    python benches/python/bench_zmq_compat.py [--runs 5] [--messages 50000]
"""

import argparse
import asyncio
import importlib
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

FACES = {"busduct": "busduct.transport.zmq_compat", "pyzmq": "zmq"}
DEADLINE_S = 120.0


def main() -> None:
    """Measure what the command line asks for and print the table."""
    options = parse_options()
    if options.case:
        print(run_case(options))
        return
    results: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in range(options.runs):
        faces = list(FACES)[:: -1 if run % 2 else 1]
        for case in CASES:
            for face in faces:
                results[case, face].append(measure(case, face, options))
    print_table(results)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=50_000, help="per run")
    parser.add_argument("--nbytes", type=int, default=32)
    parser.add_argument("--case", choices=CASES, help="measure in this process")
    parser.add_argument("--face", choices=FACES, default="busduct")
    return parser.parse_args()


def measure(case: str, face: str, options: argparse.Namespace) -> float:
    """Return messages a second of one case in a process of its own.

    Raises:
        subprocess.SubprocessError: It failed, or took too long.
    """
    sizes = ["--messages", str(options.messages), "--nbytes", str(options.nbytes)]
    done = subprocess.run(
        [sys.executable, __file__, "--case", case, "--face", face, *sizes],
        stdout=subprocess.PIPE,
        timeout=DEADLINE_S,
        check=True,
    )
    return float(done.stdout)


def run_case(options: argparse.Namespace) -> float:
    """Return messages a second of one case."""
    zmq = importlib.import_module(FACES[options.face])
    importlib.import_module(f"{FACES[options.face]}.asyncio")
    messages = [b"%0*d" % (options.nbytes, i) for i in range(options.messages)]
    seconds = CASES[options.case](zmq, messages)
    return options.messages / seconds


def joined(zmq: Any, context: Any) -> tuple[Any, Any]:
    """Return a PULL and a PUSH over TCP."""
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    push.connect(f"tcp://127.0.0.1:{port}")
    return pull, push


def check(received: list[bytes], messages: list[bytes]) -> None:
    """Hold the transport to what was sent.

    Raises:
        AssertionError: Something else, or in another order, was received.
    """
    if received != messages:
        msg = "what was received is not what was sent"
        raise AssertionError(msg)


def two_threads(zmq: Any, messages: list[bytes]) -> float:
    """Send in one thread what another receives."""
    with zmq.Context() as context:
        pull, push = joined(zmq, context)
        push.send(b"up")
        pull.recv()

        def send() -> None:
            for message in messages:
                push.send(message)

        sending = threading.Thread(target=send)
        begun = time.perf_counter()
        sending.start()
        received = [pull.recv() for _ in messages]
        seconds = time.perf_counter() - begun
        sending.join()
        check(received, messages)
        pull.close()
        push.close()
    return seconds


def one_thread(zmq: Any, messages: list[bytes]) -> float:
    """Send each message and receive it before the next."""
    return in_bursts(zmq, messages, 1)


def one_thread_bursts(zmq: Any, messages: list[bytes]) -> float:
    """Send a hundred messages and receive them before the next."""
    return in_bursts(zmq, messages, 100)


def in_bursts(zmq: Any, messages: list[bytes], num_each: int) -> float:
    """Send and receive so many messages by turns, in one thread."""
    received: list[bytes] = []
    with zmq.Context() as context:
        pull, push = joined(zmq, context)
        push.send(b"up")
        pull.recv()
        begun = time.perf_counter()
        for start in range(0, len(messages), num_each):
            burst = messages[start : start + num_each]
            for message in burst:
                push.send(message)
            received += [pull.recv() for _ in burst]
        seconds = time.perf_counter() - begun
        check(received, messages)
        pull.close()
        push.close()
    return seconds


def two_tasks(zmq: Any, messages: list[bytes]) -> float:
    """Send in one task what another receives, in one loop of asyncio."""
    return asyncio.run(in_tasks(zmq, messages))


async def in_tasks(zmq: Any, messages: list[bytes]) -> float:
    """Do it in the running loop."""
    with zmq.asyncio.Context() as context:
        pull, push = joined(zmq, context)
        await push.send(b"up")
        await pull.recv()

        async def send() -> None:
            for message in messages:
                await push.send(message)

        begun = time.perf_counter()
        sending = asyncio.create_task(send())
        received = [await pull.recv() for _ in messages]
        seconds = time.perf_counter() - begun
        await sending
        check(received, messages)
        pull.close()
        push.close()
    return seconds


CASES: dict[str, Callable[[Any, list[bytes]], float]] = {
    "two_threads": two_threads,
    "one_thread": one_thread,
    "one_thread_bursts": one_thread_bursts,
    "two_tasks": two_tasks,
}


def print_table(results: dict[tuple[str, str], list[float]]) -> None:
    """Print the median, and the range, of each case."""
    table = Table(title="messages a second: median, min - max")
    table.add_column("case")
    for face in FACES:
        table.add_column(face, justify="right")
    for case in CASES:
        cells = [results[case, face] for face in FACES]
        table.add_row(case, *map(summary, cells))
    Console().print(table)


def summary(rates: list[float]) -> str:
    """Format one cell."""
    low, middle, high = min(rates), statistics.median(rates), max(rates)
    return f"{middle:,.0f}\n{low:,.0f} - {high:,.0f}"


if __name__ == "__main__":
    main()
