"""Memory held for a reader that never reads, and CPU time of idle sockets.

Each case is a process of its own, with a partner process at the other end.

    python benches/python/bench_memory.py [--runs 3] [--seconds 10] [--json FILE]
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from rich.console import Console
from rich.table import Table

from busduct.errors import FullError
from busduct.transport import PULL, PUSH, Context

HWM_BYTES = 64 << 20
NUM_IDLE = 8
MIB = 1 << 20
PAGE_NBYTES = 4096
BODIES = (1 << 10, 64 << 10, MIB)
UNREAD_LIMIT = 1.10


def resident_bytes() -> int:
    """Return what this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_NBYTES


def fill(send: Callable[[bytes], Any], full: type[Exception], nbytes: int) -> None:
    """Send distinct messages until nothing is accepted any more; print the growth."""
    before, accepted, refused_at = resident_bytes(), 0, 0.0
    # What the kernel still takes makes room for a while; then it stays full.
    while not refused_at or time.monotonic() - refused_at < 0.5:
        try:
            send(bytes([accepted % 255 + 1]) * nbytes)
        except full:
            refused_at = refused_at or time.monotonic()
        else:
            accepted, refused_at = accepted + 1, 0.0
    grown = resident_bytes() - before
    print(json.dumps({"accepted": accepted, "grown": grown}), flush=True)


def stalled_busduct(endpoint: str, nbytes: int) -> None:
    """Fill a PUSH whose mark is 64 MiB."""
    with Context() as ctx:
        tx = ctx.socket(PUSH, hwm_messages=1 << 20, hwm_bytes=HWM_BYTES, linger=0.0)
        tx.connect(endpoint)
        while not tx.statistics().num_peers:
            ctx.run_once(1.0)

        def send(message: bytes) -> None:
            try:
                tx.send_nowait(message)
            finally:
                ctx.run_once(0.0)

        fill(send, FullError, nbytes)


def stalled_pyzmq(endpoint: str, nbytes: int) -> None:
    """Fill a PUSH whose mark is as many messages as make 64 MiB."""
    with zmq.Context() as ctx, ctx.socket(zmq.PUSH) as tx:
        tx.sndhwm, tx.linger = HWM_BYTES // nbytes, 0
        tx.connect(endpoint)
        fill(lambda message: tx.send(message, zmq.DONTWAIT), zmq.Again, nbytes)


def unread_busduct(endpoint: str) -> None:
    """Accept a connection and then do nothing."""
    with Context() as ctx:
        rx = ctx.socket(PULL)
        rx.bind(endpoint)
        while not rx.statistics().num_peers:
            ctx.run_once(1.0)
        sys.stdin.read()


def unread_pyzmq(endpoint: str) -> None:
    """Bind and read nothing; libzmq's thread takes one message."""
    with zmq.Context() as ctx, ctx.socket(zmq.PULL) as rx:
        rx.rcvhwm, rx.linger = 1, 0
        rx.bind(endpoint)
        sys.stdin.read()


async def idle_busduct(endpoint: str, seconds: float) -> None:
    """Wait in `recv` on eight sockets, each with a peer."""
    async with Context() as ctx:
        sockets = [ctx.socket(PULL) for _ in range(NUM_IDLE)]
        for index, sock in enumerate(sockets):
            sock.bind(f"{endpoint}{index}")
        await report_idle([sock.recv for sock in sockets], seconds)


async def idle_pyzmq(endpoint: str, seconds: float) -> None:
    """Do the same with `zmq.asyncio`."""
    with zmq.asyncio.Context() as ctx:
        sockets = [ctx.socket(zmq.PULL) for _ in range(NUM_IDLE)]
        for index, sock in enumerate(sockets):
            sock.bind(f"{endpoint}{index}")
        await report_idle([sock.recv for sock in sockets], seconds)
        for sock in sockets:
            sock.close()


async def report_idle(receivers: list[Callable[[], Any]], seconds: float) -> None:
    """Take one message of each, then print the CPU time of the wait for the next."""
    for recv in receivers:
        await recv()
    waiting = [asyncio.ensure_future(recv()) for recv in receivers]
    start = time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - start) / seconds
    print(json.dumps({"share": share}), flush=True)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


def greet_busduct(endpoint: str) -> None:
    """Connect eight sockets, send one message on each, and stay."""
    with Context() as ctx:
        for index in range(NUM_IDLE):
            tx = ctx.socket(PUSH)
            tx.connect(f"{endpoint}{index}")
            tx.send_blocking(b"here")
            while tx.statistics().num_send_queued:
                ctx.run_once(1.0)
        sys.stdin.read()


def greet_pyzmq(endpoint: str) -> None:
    """Do the same with pyzmq."""
    with zmq.Context() as ctx:
        sockets = [ctx.socket(zmq.PUSH) for _ in range(NUM_IDLE)]
        for index, sock in enumerate(sockets):
            sock.linger = 0
            sock.connect(f"{endpoint}{index}")
            sock.send(b"here")
        sys.stdin.read()
        for sock in sockets:
            sock.close()


def run_case(case: str, peer: str, argument: float) -> dict[str, float]:
    """Run one case in two processes and return what the first one printed.

    Raises:
        subprocess.SubprocessError: It failed or took over a minute.
    """
    partner_case = {"stalled": "unread", "idle": "greet"}[case]
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        program = [sys.executable, __file__, "--child"]
        endpoint = f"ipc://{directory}/a"
        partner = subprocess.Popen(
            [*program, f"{partner_case}_{peer}", endpoint], stdin=subprocess.PIPE
        )
        try:
            measured = subprocess.run(
                [*program, f"{case}_{peer}", endpoint, str(argument)],
                stdout=subprocess.PIPE,
                timeout=60,
                check=True,
            )
        finally:
            partner.kill()
            partner.communicate()
    result: dict[str, float] = json.loads(measured.stdout)
    return result


def run_child(name: str, endpoint: str, *arguments: str) -> None:
    """Be one process of a case."""
    function = globals()[name]
    if name.startswith("idle"):
        asyncio.run(function(endpoint, float(arguments[0])))
    else:
        function(endpoint, *(int(float(argument)) for argument in arguments))


def main() -> None:
    """Run every case and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of idleness")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    cases = [*stalled_cases(options.runs), *idle_cases(options.seconds)]
    if options.json:
        options.json.write_text(json.dumps(cases, indent=2) + "\n")


def stalled_cases(runs: int) -> list[dict[str, Any]]:
    """Measure and print the growth of a sender whose reader never reads."""
    table = Table(title="sender's growth at a stalled reader, mark 64 MiB, median")
    for heading in ("bytes a message", "peer", "accepted", "grown, MiB", "of the mark"):
        table.add_column(heading, justify="right")
    cases = []
    for nbytes in BODIES:
        for peer in ("busduct", "pyzmq"):
            results = [run_case("stalled", peer, nbytes) for _ in range(runs)]
            grown = statistics.median(result["grown"] for result in results)
            accepted = statistics.median(result["accepted"] for result in results)
            share = grown / HWM_BYTES
            verdict = f"{share:.0%}" + (" (over 110%)" if share > UNREAD_LIMIT else "")
            row = (f"{nbytes:,}", peer, f"{accepted:,.0f}", f"{grown / MIB:.1f}")
            table.add_row(*row, verdict)
            cases.append({"id": f"stalled/{peer}/{nbytes}", "runs": results})
    Console().print(table)
    return cases


def idle_cases(seconds: float) -> list[dict[str, Any]]:
    """Measure and print what eight idle sockets cost."""
    table = Table(title=f"{NUM_IDLE} idle connected sockets, {seconds:.0f} s")
    table.add_column("peer")
    table.add_column("share of a core", justify="right")
    cases = []
    for peer in ("busduct", "pyzmq"):
        result = run_case("idle", peer, seconds)
        table.add_row(peer, f"{result['share']:.3%}")
        cases.append({"id": f"idle/{peer}/{NUM_IDLE}", "runs": [result]})
    Console().print(table)
    return cases


if __name__ == "__main__":
    main()
