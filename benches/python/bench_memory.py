"""Memory held for a reader that never reads, and for a context with many peers.

Each case is a process of its own, with a partner process at the other end.

    python benches/python/bench_memory.py [--runs 3] [--count 64] [--json FILE]
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from busduct.errors import FullError
from busduct.transport import PULL, PUSH, Context
from tables import markdown

HWM_BYTES = 64 << 20
NUM_PEERS = 64
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


def unread_busduct(endpoint: str, _: int) -> None:
    """Accept a connection and then do nothing."""
    with Context() as ctx:
        rx = ctx.socket(PULL)
        rx.bind(endpoint)
        while not rx.statistics().num_peers:
            ctx.run_once(1.0)
        sys.stdin.read()


def unread_pyzmq(endpoint: str, _: int) -> None:
    """Bind and read nothing; libzmq's thread takes one message."""
    with zmq.Context() as ctx, ctx.socket(zmq.PULL) as rx:
        rx.rcvhwm, rx.linger = 1, 0
        rx.bind(endpoint)
        sys.stdin.read()


async def crowd_busduct(endpoint: str, count: int) -> None:
    """Bind one socket for many peers, and send each of them a large message."""
    async with Context() as ctx:
        tx = ctx.socket(PUSH, linger=0.0)
        events = tx.monitor()
        tx.bind(endpoint)
        before = Footprint.taken()
        while tx.statistics().num_peers < count:
            await anext(events)
        connected = Footprint.taken()
        for _ in range(count):
            await tx.send(bytes(MIB))
        print_growth(before, connected, Footprint.taken())


async def crowd_pyzmq(endpoint: str, count: int) -> None:
    """Do the same with `zmq.asyncio`."""
    with zmq.asyncio.Context() as ctx, ctx.socket(zmq.PUSH) as tx:
        tx.linger = 0
        monitor = tx.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        tx.bind(endpoint)
        before = Footprint.taken()
        for _ in range(count):
            await monitor.recv_multipart()
        connected = Footprint.taken()
        for _ in range(count):
            await tx.send(bytes(MIB))
        print_growth(before, connected, Footprint.taken())
        tx.disable_monitor()


async def join_busduct(endpoint: str, count: int) -> None:
    """Connect from so many contexts, and take what comes."""
    async with contextlib.AsyncExitStack() as stack:
        sockets = []
        for _ in range(count):
            ctx = await stack.enter_async_context(Context())
            sockets.append(ctx.socket(PULL))
            sockets[-1].connect(endpoint)
        await asyncio.gather(*(take_all(sock.recv) for sock in sockets))


async def join_pyzmq(endpoint: str, count: int) -> None:
    """Connect as many sockets, of one context, for each has a thread."""
    with zmq.asyncio.Context() as ctx:
        sockets = [ctx.socket(zmq.PULL) for _ in range(count)]
        for sock in sockets:
            sock.connect(endpoint)
        await asyncio.gather(*(take_all(sock.recv) for sock in sockets))


async def take_all(recv: Callable[[], Any]) -> None:
    """Receive without end."""
    while True:
        await recv()


@dataclass(frozen=True)
class Footprint:
    """What a process has in memory, in bytes.

    Pages of shared memory are counted once, however often they are mapped; what is
    mapped writable is its own, but for a page a peer.
    """

    private: int
    shared_writable: int
    shared_readable: int
    num_shared: int

    @classmethod
    def taken(cls) -> "Footprint":
        """Measure this process."""
        status = Path("/proc/self/status").read_text()
        private = int(status.partition("RssAnon:")[2].split()[0]) << 10
        sizes: dict[str, int] = {}
        writable = set()
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, access, offset, _, inode, *path = line.split(maxsplit=5)
            if not path or not path[0].startswith("/memfd:busduct"):
                continue
            begin, end = (int(address, 16) for address in span.split("-"))
            sizes[inode] = max(sizes.get(inode, 0), int(offset, 16) + end - begin)
            if "w" in access:
                writable.add(inode)
        shared_writable = sum(sizes[inode] for inode in writable)
        shared_readable = sum(sizes.values()) - shared_writable
        return cls(private, shared_writable, shared_readable, len(sizes))


def print_growth(before: Footprint, *stages: Footprint) -> None:
    """Print by how much each stage exceeds what there was."""
    found = {
        f"{stage}_{name}": value - getattr(before, name)
        for stage, footprint in zip(("connected", "sent"), stages, strict=True)
        for name, value in asdict(footprint).items()
    }
    print(json.dumps(found), flush=True)


def run_case(case: str, peer: str, argument: float) -> dict[str, float]:
    """Run one case in two processes and return what the first one printed.

    Raises:
        subprocess.SubprocessError: It failed or took over a minute.
    """
    partner_case = {"stalled": "unread", "crowd": "join"}[case]
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        program = [sys.executable, __file__, "--child"]
        endpoint = f"ipc://{directory}/a"
        partner = subprocess.Popen(
            [*program, f"{partner_case}_{peer}", endpoint, str(argument)],
            stdin=subprocess.PIPE,
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


def run_child(name: str, endpoint: str, argument: str) -> None:
    """Be one process of a case."""
    function = globals()[name]
    if asyncio.iscoroutinefunction(function):
        asyncio.run(function(endpoint, int(argument)))
    else:
        function(endpoint, int(argument))


def main() -> None:
    """Run every case and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=NUM_PEERS, help="of peers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    cases = [*stalled_cases(options.runs), *crowd_cases(options.count)]
    if options.json:
        options.json.write_text(json.dumps(cases, indent=2) + "\n")


def stalled_cases(runs: int) -> list[dict[str, Any]]:
    """Measure and print the growth of a sender whose reader never reads."""
    print("\n### sender's growth at a stalled reader, mark 64 MiB, median\n")
    headings = ("bytes a message", "peer", "accepted", "grown, MiB", "of the mark")
    rows = []
    cases = []
    for nbytes in BODIES:
        for peer in ("busduct", "pyzmq"):
            results = [run_case("stalled", peer, nbytes) for _ in range(runs)]
            grown = statistics.median(result["grown"] for result in results)
            accepted = statistics.median(result["accepted"] for result in results)
            share = grown / HWM_BYTES
            verdict = f"{share:.0%}" + (" (over 110%)" if share > UNREAD_LIMIT else "")
            row = (f"{nbytes:,}", peer, f"{accepted:,.0f}", f"{grown / MIB:.1f}")
            rows.append([*row, verdict])
            cases.append({"id": f"stalled/{peer}/{nbytes}", "runs": results})
    print(markdown(headings, rows))
    return cases


def crowd_cases(count: int) -> list[dict[str, Any]]:
    """Measure and print what a context with many peers has in memory."""
    print(f"\n### one PUSH with {count} peers, growth in MiB\n")
    headings = ("peer", "when", "private", "shared, own", "shared, theirs", "segments")
    rows, cases = [], []
    for peer in ("busduct", "pyzmq"):
        result = run_case("crowd", peer, count)
        for stage, when in (("connected", "connected"), ("sent", "1 MiB sent to each")):
            names = ("private", "shared_writable", "shared_readable")
            figures = [f"{result[f'{stage}_{name}'] / MIB:.1f}" for name in names]
            rows.append([peer, when, *figures, str(result[f"{stage}_num_shared"])])
        cases.append({"id": f"crowd/{peer}/{count}", "runs": [result]})
    print(markdown(headings, rows))
    return cases


if __name__ == "__main__":
    main()
