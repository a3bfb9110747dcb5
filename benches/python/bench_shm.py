"""Messages one way between two processes of one host: shared memory and its peers.

Four works, each with every peer that can do it: one message a call, copied in and out;
batches of 64; copied in and looked at where it lies; and lent, unfilled, looked at.
What each peer does is in its file (benches/peers). Peers take turns, in another order
each run, so that a slow minute of the machine hits all; each checks the first messages
before the clock starts. A peer that is not installed, or cannot do a work, is noted.

    python benches/python/bench_shm.py [--runs 5] [--works one batch view loan]
"""

import argparse
from dataclasses import dataclass

import report
import runner
from targets import Target

BATCH = 64
KIB, MIB = 1 << 10, 1 << 20
# What a Python service would use instead of busduct.
RIVALS = ("pyzmq_copy", "pyzmq_view", "pyzmq_drain", "unix_stream", "zenoh_shm")
ICEORYX2 = ("iceoryx2_spin", "iceoryx2_event")


@dataclass(frozen=True)
class Work:
    """What is done, by whom, and at which sizes."""

    title: str
    peers: tuple[str, ...]
    sizes: tuple[int, ...]
    measuring: str = "receive"
    other: str = "send"
    batch: int = 0
    is_time: bool = False

    def measure(self, peer: str, nbytes: int, options: argparse.Namespace) -> float:
        """Return messages a second, or microseconds a message.

        Raises:
            SkippedError: The peer cannot.
            subprocess.SubprocessError: It failed or took too long.
        """
        roles = (self.measuring, self.other)
        found = runner.run_pair(
            peer, *roles, nbytes, options.seconds, batch=self.batch, pin=options.pin
        )
        return 1e6 / found["rate"] if self.is_time else found["rate"]


WORKS = {
    "one": Work(
        "One way, one `await recv()` a message, copied in and out",
        ("busduct_await", "zmq_asyncio", *RIVALS, *ICEORYX2, "c_ring"),
        (32, KIB, 32 * KIB, MIB, 16 * MIB),
    ),
    "batch": Work(
        f"One way, in batches of {BATCH}",
        ("busduct_batch", "unix_stream", "c_ring"),
        (32,),
        batch=BATCH,
    ),
    "view": Work(
        "One way, copied in and looked at where it lies",
        ("busduct_await", "pyzmq_view", "zenoh_shm", *ICEORYX2, "c_ring"),
        (32 * KIB, MIB, 16 * MIB),
        measuring="receive_view",
    ),
    "loan": Work(
        "One way, lent unfilled and looked at where it lies",
        ("busduct_await", "zenoh_shm", *ICEORYX2),
        (MIB, 16 * MIB),
        measuring="receive_view",
        other="send_loan",
        is_time=True,
    ),
}
PEERS = tuple(dict.fromkeys(peer for work in WORKS.values() for peer in work.peers))
SIZES = WORKS["one"].sizes


def cells(work: str, nbytes: int, *peers: str) -> tuple[tuple[str, str, int], ...]:
    """Name the figures of some peers."""
    return tuple((work, peer, nbytes) for peer in peers)


def beside(
    text: str, work: str, nbytes: int, asked: float, *rivals: str, ours: str = "await"
) -> Target:
    """Ask for a multiple of the best rival at the same work."""
    own, others = (work, f"busduct_{ours}", nbytes), cells(work, nbytes, *rivals)
    return Target(text, "msg/s", own, asked, others)


TARGETS = (
    beside("one a call, 32 B", "one", 32, 2.5, *RIVALS),
    beside("one a call, 1 KiB", "one", KIB, 4, *RIVALS),
    beside("one a call, 32 B", "one", 32, 40, "zmq_asyncio"),
    beside("one a call, 1 KiB", "one", KIB, 40, "zmq_asyncio"),
    Target(
        f"batches of {BATCH}, 32 B",
        "msg/s",
        ("batch", "busduct_batch", 32),
        12,
        (*cells("one", 32, *RIVALS), *cells("batch", 32, "unix_stream")),
    ),
    beside("32 KiB, copied out", "one", 32 * KIB, 4, *RIVALS[:3]),
    beside("32 KiB, copied out", "one", 32 * KIB, 1.3, *ICEORYX2),
    beside("32 KiB, view out", "view", 32 * KIB, 1.3, *ICEORYX2),
    beside("1 MiB, view out", "view", MIB, 1.4, "iceoryx2_spin"),
    beside("1 MiB, view out", "view", MIB, 4, "pyzmq_view"),
    beside("1 MiB, view out", "view", MIB, 0.8, "c_ring"),
    Target(
        "1 MiB, lent and leased, unfilled",
        "us",
        ("loan", "busduct_await", MIB),
        8,
        more_is_better=False,
    ),
    beside("16 MiB, view out", "view", 16 * MIB, 1.05, *ICEORYX2),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=tuple(WORKS))
    report.add_pin(parser)
    options = report.parse(parser)
    measures = {name: measure_of(name) for name in options.works}
    targets = [
        target
        for target in TARGETS
        if target.ours[0] in options.works and target.ours[2] in options.sizes
    ]
    turns = runner.turns(WORKS, options, measure)
    report.write(runner.collect(turns), measures, options, targets)


def measure_of(name: str) -> report.Measure:
    """Say how the table of a work looks."""
    work = WORKS[name]
    rivals = tuple(peer for peer in work.peers if peer in (*RIVALS, *ICEORYX2))
    unit = "us" if work.is_time else "msg/s"
    return report.Measure(work.title, unit, not work.is_time, rivals)


def measure(
    name: str, peer: str, nbytes: int, options: argparse.Namespace
) -> runner.Figures:
    """Measure a work once."""
    return {name: WORKS[name].measure(peer, nbytes, options)}


if __name__ == "__main__":
    main()
