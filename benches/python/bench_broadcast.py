"""Items of one writer to 3 readers: busduct's queue beside vLLM's broadcast ring.

Each is a process of its own, and each reader gets every item in order. The figure is
what reaches the last reader, from the first item to the last. Peers take turns, in
another order each run; each reader checks the first items before the clock starts, and
that it got all the others. What they do is in benches/peers.

    python benches/python/bench_broadcast.py [--runs 5] [--readers 3]
"""

import argparse
import functools

import report
import runner
from targets import Target

PEERS = ("busduct_broadcast", "busduct_broadcast_view", "vllm_broadcast")
RIVALS = ("vllm_broadcast",)
KIB, MIB = 1 << 10, 1 << 20
SIZES = (KIB, MIB)
NUM_READERS = 3
MEASURE = "broadcast"


def target(text: str, nbytes: int, asked: float, peer: str) -> Target:
    """Ask for a multiple of vLLM's rate."""
    rivals = tuple((MEASURE, rival, nbytes) for rival in RIVALS)
    return Target(text, "items/s", (MEASURE, peer, nbytes), asked, rivals)


TARGETS = (
    target("broadcast to 3, 1 KiB", KIB, 10, "busduct_broadcast"),
    target("broadcast to 3, 1 MiB, copied out", MIB, 3, "busduct_broadcast"),
    target("broadcast to 3, 1 MiB, view out", MIB, 3, "busduct_broadcast_view"),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    parser.add_argument("--readers", type=int, default=NUM_READERS)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            f"broadcast to {options.readers}",
            peer,
            nbytes,
            functools.partial(measure, peer, nbytes, options),
        )
        for run in range(options.runs)
        for nbytes in options.sizes
        for peer in runner.rotated(options.peers, run)
    ]
    title = f"{options.readers} readers, items a second that reach each"
    measures = {MEASURE: report.Measure(title, "items/s", rivals=RIVALS)}
    targets = TARGETS if options.readers == NUM_READERS else ()
    report.write(runner.collect(turns), measures, options, targets)


def measure(peer: str, nbytes: int, options: argparse.Namespace) -> runner.Figures:
    """Measure one peer once."""
    count, seconds = options.readers, options.seconds
    return {MEASURE: runner.run_fan_out(peer, nbytes, seconds, count)}


if __name__ == "__main__":
    main()
