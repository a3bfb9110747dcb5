"""Worker pools: busduct beside the transport of mlcommons/endpoints and zmq.asyncio.

Five works, all through the face that such a pool has (benches/peers/pool_driver.py).
The peer is run as its checkout is, of which nothing is part of this repository; without
it only busduct is measured. Peers take turns, in another order each run; each checks
that messages arrive whole before the clock starts.

    BUSDUCT_ENDPOINTS_SRC=.../endpoints/src python benches/python/bench_pool.py
        [--runs 5] [--works one_process queries_out results_back round_trips idle]
"""

import argparse
import functools
import importlib.metadata
import platform
from dataclasses import dataclass

import report
import runner
from targets import Target

OURS, OURS_SHM = "busduct_pool", "busduct_pool_shm"
OURS_SPIN = "busduct_pool_spin"
ENDPOINTS, ZMQ_ASYNCIO = "endpoints_transport", "zmq_asyncio_pool"
POOLS = (OURS, OURS_SHM, ENDPOINTS)
PEERS = (*POOLS, ZMQ_ASYNCIO, OURS_SPIN)
KINDS = ("Query", "QueryResult", "StreamChunk")
KIB, MIB = 1 << 10, 1 << 20
ONE_PROCESS_SIZES = (32, 128, 512, KIB, 4 * KIB, 16 * KIB, 32 * KIB)
TWO_PROCESS_SIZES = (32, KIB, 32 * KIB, MIB)
SIZES = (*ONE_PROCESS_SIZES, MIB)
NUM_OUTSTANDING = (1, 64)
NUM_IDLE = 8
# What waits wakes seldom: a second tells nothing of it.
IDLE_SECONDS = 10.0
PACKAGES = ("pyzmq", "uvloop", "msgspec")


@dataclass(frozen=True)
class Case:
    """One work of one kind of message; `figures` are those of its report."""

    role: str
    title: str
    sizes: tuple[int, ...]
    kind: str = "Query"
    outstanding: int = 1
    peers: tuple[str, ...] = POOLS
    figures: tuple[str, ...] = ("rate",)
    seconds: float | None = None

    @property
    def name(self) -> str:
        """Tell it from other cases."""
        return f"{self.role}/{self.kind}/{self.outstanding}"

    def measure(
        self, peer: str, nchars: int, options: argparse.Namespace
    ) -> runner.Figures:
        """Measure one peer once.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        seconds = self.seconds or options.seconds
        task = (self.kind, nchars, seconds, "--outstanding", self.outstanding)
        found = runner.run_peer(peer, self.role, *task)
        return {f"{self.name}/{figure}": found[figure] for figure in self.figures}


CASES = (
    *(
        Case(
            "one_process",
            f"{kind}, sender and receiver in one process, 1,000 under way",
            ONE_PROCESS_SIZES,
            kind,
            peers=(*POOLS, ZMQ_ASYNCIO),
            figures=("rate", "cpu_us"),
        )
        for kind in KINDS
    ),
    Case("queries_out", "Query, one way to a worker process", TWO_PROCESS_SIZES),
    Case(
        "results_back",
        "QueryResult, one way from a worker process",
        TWO_PROCESS_SIZES,
        "QueryResult",
    ),
    *(
        Case(
            "round_trips",
            f"Query out and QueryResult back, {count} outstanding",
            (32,),
            outstanding=count,
            peers=(*POOLS, OURS_SPIN),
            figures=("p50_us", "p99_us", "rate"),
        )
        for count in NUM_OUTSTANDING
    ),
    Case(
        "idle",
        f"A pool that waits with its {NUM_IDLE} workers",
        (32,),
        figures=("percent",),
        seconds=IDLE_SECONDS,
    ),
)
FIGURES = {
    "rate": ("", "msg/s", True),
    "cpu_us": (", processor time of all threads", "us/msg", False),
    "p50_us": (", p50 in us", "us", False),
    "p99_us": (", p99 in us", "us", False),
    "percent": ("", "% of a core", False),
}
MEASURES = {
    f"{case.name}/{figure}": report.Measure(
        case.title + FIGURES[figure][0],
        *FIGURES[figure][1:],
        rivals=(ENDPOINTS,),
        column="{:,} chars".format,
    )
    for case in CASES
    for figure in case.figures
}


def times(
    text: str, measure: str, nchars: int, asked: float, rival: str = ENDPOINTS
) -> Target:
    """Ask for a multiple of a rival's rate."""
    ours, other = (measure, OURS, nchars), (measure, rival, nchars)
    return Target(text, "msg/s", ours, asked, (other,))


def lower(outstanding: int, asked: float) -> Target:
    """Ask for a median round trip that is a multiple lower than the rival's."""
    measure = f"round_trips/Query/{outstanding}/p50_us"
    return Target(
        f"round trip, {outstanding} outstanding, p50",
        "us",
        (measure, OURS, 32),
        round(1 / asked, 3),
        ((measure, ENDPOINTS, 32),),
        more_is_better=False,
    )


TARGETS = (
    *(
        times(
            f"one process, {kind}, {nchars} chars",
            f"one_process/{kind}/1/rate",
            nchars,
            1.8 if nchars > 4 * KIB else 4 if kind == "StreamChunk" else 3,
        )
        for kind in KINDS
        for nchars in ONE_PROCESS_SIZES
    ),
    *(
        times(
            f"one process, {kind}, 32 chars",
            f"one_process/{kind}/1/rate",
            32,
            20,
            ZMQ_ASYNCIO,
        )
        for kind in KINDS
    ),
    *(
        times(f"two processes, {kind}, {nchars} chars", measure, nchars, asked)
        for kind, measure in (
            ("Query out", "queries_out/Query/1/rate"),
            ("QueryResult back", "results_back/QueryResult/1/rate"),
        )
        for nchars, asked in zip(TWO_PROCESS_SIZES, (2.5, 3.5, 4, 10), strict=True)
    ),
    lower(1, 4.5),
    lower(64, 5),
    Target(
        f"idle, {NUM_IDLE} workers and the pool",
        "% of a core",
        ("idle/Query/1/percent", OURS, 32),
        0.5,
        more_is_better=False,
    ),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    works = tuple(dict.fromkeys(case.role for case in CASES))
    parser.add_argument("--works", nargs="+", choices=works, default=works)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            case.name,
            peer,
            nchars,
            functools.partial(case.measure, peer, nchars, options),
        )
        for run in range(options.runs)
        for case in CASES
        if case.role in options.works
        for nchars in case.sizes
        if nchars in options.sizes
        for peer in runner.rotated(case.peers, run)
        if peer in options.peers
    ]
    results, notes = runner.collect(turns)
    report.write((results, [versions(), *notes]), MEASURES, options, TARGETS)


def versions() -> str:
    """Name what both sides run on."""
    found = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {', '.join(found)}"


if __name__ == "__main__":
    main()
