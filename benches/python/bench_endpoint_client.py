"""HTTP clients of inference endpoints: busduct's beside that of mlcommons/endpoints.

Both ask the same `busduct echo-server` of one process, whose answers of 160 characters
are made beforehand; streamed, they come in 32 events. Both clients do their HTTP in
worker processes. The peer is run as its checkout is, of which nothing is part of this
repository. Peers take turns, in another order each run, each with a server of its own;
each checks its first answers before the clock starts.

    BUSDUCT_ENDPOINTS_SRC=.../endpoints/src
        python benches/python/bench_endpoint_client.py [--runs 5] [--sizes 64 512]
"""

import argparse
import functools
import socket
import sys
from dataclasses import dataclass

import report
import runner
from bench_pool import versions
from targets import Target

OURS, THEIRS = PEERS = ("busduct_client", "endpoints_client")
NUM_EVENTS = 32
SERVER = (
    *("--mode", "max", "--workers", 1, "--output-length", 160),
    *("--stream-interval", 160 // NUM_EVENTS),
)
NUM_CONNECTIONS = (64, 512)
NUM_WORKERS = (1, 2)
# Of requests one at a time, 10 ms from one to the next.
LATENCY_SECONDS = 2.0


@dataclass(frozen=True)
class Case:
    """What is asked, by how many workers."""

    name: str
    title: str
    num_workers: int
    role: str = "throughput"
    flags: tuple[str, ...] = ()
    sizes: tuple[int, ...] = NUM_CONNECTIONS

    @property
    def figures(self) -> dict[str, tuple[str, str, bool]]:
        """Return those of its report: title, unit, whether more is better."""
        if self.role == "latency":
            first = {"first_us": (", added until the first chunk", "us", False)}
            whole = {"whole_us": (", added until the end", "us", False)}
            bare = {"floor_us": (", a bare socket", "us", False)}
            return (first if self.flags else {}) | whole | bare
        rate = {"rate": (", requests a second", "/s", True)}
        events = {"events": (", events a second", "/s", True)}
        used = {"cpu_us": (", processor time of all its processes", "us/req.", False)}
        return rate | (events if self.flags else {}) | used

    def measure(
        self, peer: str, num_connections: int, options: argparse.Namespace
    ) -> runner.Figures:
        """Measure one client once.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        port = free_port()
        seconds = LATENCY_SECONDS if self.role == "latency" else options.seconds
        task = (self.role, port, seconds, self.num_workers, num_connections)
        run = "from busduct.cli import main; main()"
        server = (*("echo-server", "--port", port), *SERVER)
        found = runner.run_both(
            runner.command(peer, *task, *self.flags),
            [sys.executable, "-c", run, *map(str, server)],
        )
        found["events"] = found.get("rate", 0.0) * NUM_EVENTS
        return {f"{self.name}/{figure}": found[figure] for figure in self.figures}


STREAMED = {
    "whole": ("whole answers", ()),
    "streamed": ("streamed, the first chunk given", ("--streamed",)),
    "all_chunks": ("streamed, all chunks given", ("--streamed", "--all-chunks")),
}
CASES = (
    *(
        Case(
            f"{name}/{num_workers}",
            f"{title.capitalize()}, {('1 worker', '2 workers')[num_workers - 1]}",
            num_workers,
            flags=flags,
        )
        for name, (title, flags) in STREAMED.items()
        for num_workers in NUM_WORKERS
    ),
    *(
        Case(
            f"latency_{name}/1",
            f"One request at a time, {STREAMED[name][0]}, 1 worker, p50",
            1,
            role="latency",
            flags=STREAMED[name][1],
            sizes=NUM_CONNECTIONS[:1],
        )
        for name in ("whole", "streamed")
    ),
)
MEASURES = {
    f"{case.name}/{figure}": report.Measure(
        case.title + text,
        unit,
        more_is_better,
        () if figure == "floor_us" else (THEIRS,),
        "{} connections".format,
    )
    for case in CASES
    for figure, (text, unit, more_is_better) in case.figures.items()
}


def beside(
    text: str, measure: str, size: int, asked: float, *, more_is_better: bool = True
) -> Target:
    """Ask for a multiple of what the peer does."""
    ours, theirs = (measure, OURS, size), (measure, THEIRS, size)
    unit = MEASURES[measure].unit
    return Target(text, unit, ours, asked, (theirs,), more_is_better)


TARGETS = (
    *(
        beside(
            f"{case.title}, {size} connections: "
            f"{'events' if case.flags else 'requests'} a second",
            f"{case.name}/{'events' if case.flags else 'rate'}",
            size,
            1.3,
        )
        for case in CASES
        if case.role == "throughput"
        for size in case.sizes
    ),
    *(
        beside(
            f"{case.title}{case.figures[figure][0]}",
            f"{case.name}/{figure}",
            case.sizes[0],
            1.0,
            more_is_better=False,
        )
        for case in CASES
        for figure in case.figures
        if case.role == "latency" and figure != "floor_us"
    ),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, NUM_CONNECTIONS)
    names = tuple(case.name for case in CASES)
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.set_defaults(seconds=1.5)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            case.name, peer, size, functools.partial(case.measure, peer, size, options)
        )
        for run in range(options.runs)
        for case in CASES
        if case.name in options.cases
        for size in case.sizes
        if size in options.sizes
        for peer in runner.rotated(PEERS, run)
        if peer in options.peers
    ]
    results, notes = runner.collect(turns)
    report.write((results, [versions(), *notes]), MEASURES, options, TARGETS)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
