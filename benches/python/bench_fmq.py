"""Queues: busduct beside the protocol of FastDeploy's FMQ, and beside zmq.asyncio.

That protocol is pickle over zmq.asyncio, and a named segment for each payload: for all
of them (benches/peers/fmq_segment_each.py), or, by its default, for those of 1 MiB and
more (fmq_segments.py). Three works:

- `burst`: so many messages as fast as they are taken, 1 GiB of them but 20,000 at most;
  the rate from the first `put` to the last `get`, and how long each was on its way,
  which with so many at once is the time in the queue;
- `paced`: 200 a second, so that each finds the queue empty: the time on the way alone;
- `many`: 4 producers and 4 consumers, as fast as they go.

Peers take turns, in another order each run; each checks the first messages before the
clock starts.

    python benches/python/bench_fmq.py [--runs 5] [--works burst paced many]
"""

import argparse
import tempfile
from dataclasses import dataclass

import report
import runner
from targets import Target

OURS, VIEWS = "busduct_queue", "busduct_queue_view"
SEGMENTS, EACH = "fmq_segments", "fmq_segment_each"
ZMQ_ASYNCIO = "zmq_asyncio_queue"
PEERS = (OURS, VIEWS, SEGMENTS, EACH, ZMQ_ASYNCIO)
KIB, MIB = 1 << 10, 1 << 20
BURST_BYTES = 1 << 30
MAX_BURST = 20_000
# What `--seconds` is by default stands for a whole burst.
BURST_SECONDS = 0.6
PACE = 200.0
MIN_COUNT = 8


@dataclass(frozen=True)
class Work:
    """What is done, by whom, at which sizes, and what is told of it."""

    title: str
    peers: tuple[str, ...]
    sizes: tuple[int, ...]
    figures: tuple[str, ...]

    def count(self, nbytes: int, seconds: float) -> int:
        """Return how many messages are put."""
        wanted = min(MAX_BURST, BURST_BYTES // nbytes) / BURST_SECONDS
        return max(MIN_COUNT, int(wanted * seconds))

    def measure(
        self, peer: str, nbytes: int, options: argparse.Namespace
    ) -> runner.Figures:
        """Measure one peer once.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        count = self.count(nbytes, options.seconds)
        return pair(peer, nbytes, options.seconds, "--count", count)


class Paced(Work):
    """So many messages a second, few."""

    def measure(
        self, peer: str, nbytes: int, options: argparse.Namespace
    ) -> runner.Figures:
        """Measure one peer once.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        count = max(MIN_COUNT, int(options.seconds * PACE))
        return pair(peer, nbytes, options.seconds, "--count", count, "--pace", PACE)


class Many(Work):
    """Several producers and consumers."""

    def measure(
        self, peer: str, nbytes: int, options: argparse.Namespace
    ) -> runner.Figures:
        """Measure one peer once.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        counts = ("--num-producers", 4, "--num-consumers", 4)
        with tempfile.TemporaryDirectory(prefix="bd-") as directory:
            task = (directory, nbytes, options.seconds, *counts)
            return runner.run_peer(peer, "many", *task)


def pair(peer: str, nbytes: int, seconds: float, *options: object) -> runner.Figures:
    """Run a consumer and a producer until the consumer has reported."""
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        task = (directory, nbytes, seconds, *options)
        return runner.run_both(
            runner.command(peer, "consume", *task),
            runner.command(peer, "produce", *task),
        )


WORKS = {
    "burst": Work(
        "1 producer, 1 consumer, as fast as they go",
        (OURS, VIEWS, SEGMENTS, EACH),
        (4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB),
        ("rate", "mean_us"),
    ),
    "paced": Paced(
        f"1 producer, 1 consumer, {PACE:g} messages a second",
        (OURS, VIEWS, SEGMENTS),
        (MIB,),
        ("p50_us", "mean_us", "p99_us"),
    ),
    "many": Many(
        "4 producers, 4 consumers",
        (OURS, ZMQ_ASYNCIO),
        (KIB,),
        ("rate",),
    ),
}
SIZES = (KIB, *WORKS["burst"].sizes)
FIGURES = {
    "rate": ("", "msg/s", True),
    "mean_us": (", mean time on the way", "us", False),
    "p50_us": (", median time on the way", "us", False),
    "p99_us": (", 99th percentile of the time on the way", "us", False),
}
MEASURES = {
    f"{name}/{figure}": report.Measure(
        work.title + FIGURES[figure][0],
        *FIGURES[figure][1:],
        rivals=(SEGMENTS, EACH, ZMQ_ASYNCIO),
    )
    for name, work in WORKS.items()
    for figure in work.figures
}


def times(text: str, nbytes: int, asked: float, ours: str = OURS) -> Target:
    """Ask for a multiple of the rate of the protocol with a segment a message."""
    cell = "burst/rate"
    return Target(text, "msg/s", (cell, ours, nbytes), asked, ((cell, EACH, nbytes),))


TARGETS = (
    times("4 KiB", 4 * KIB, 10),
    times("64 KiB", 64 * KIB, 10),
    times("1 MiB, copied out", MIB, 6),
    times("1 MiB, views", MIB, 12, VIEWS),
    times("16 MiB, copied out", 16 * MIB, 5),
    times("64 MiB, copied out", 64 * MIB, 4),
    Target(
        "1 MiB paced, median",
        "us",
        ("paced/p50_us", OURS, MIB),
        round(1 / 6, 3),
        (("paced/p50_us", SEGMENTS, MIB),),
        more_is_better=False,
    ),
    Target("1 MiB, copied out", "msg/s", ("burst/rate", OURS, MIB), 5627),
    Target(
        "1 MiB paced, mean",
        "us",
        ("paced/mean_us", OURS, MIB),
        522,
        more_is_better=False,
    ),
    Target(
        "4 producers, 4 consumers, 1 KiB",
        "msg/s",
        ("many/rate", OURS, KIB),
        3,
        (("many/rate", ZMQ_ASYNCIO, KIB),),
    ),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=tuple(WORKS))
    options = report.parse(parser)
    targets = [
        target
        for target in TARGETS
        if target.ours[0].partition("/")[0] in options.works
        and target.ours[2] in options.sizes
    ]
    turns = runner.turns(WORKS, options, measure)
    report.write(runner.collect(turns), MEASURES, options, targets)


def measure(
    name: str, peer: str, nbytes: int, options: argparse.Namespace
) -> runner.Figures:
    """Measure a work once."""
    work = WORKS[name]
    found = work.measure(peer, nbytes, options)
    return {f"{name}/{figure}": found[figure] for figure in work.figures}


if __name__ == "__main__":
    main()
