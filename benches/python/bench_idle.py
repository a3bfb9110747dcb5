"""CPU time of connected sockets that wait for nothing, on both sides.

Two processes, a loop each; every socket has a peer and a task that waits in `recv`.

    python benches/python/bench_idle.py [--runs 5] [--seconds 2] [--pairs 16]
"""

import argparse
import functools

import report
import runner
from targets import Target

PEERS = ("busduct_await", "busduct_spin", "zmq_asyncio")
NUM_PAIRS = 16
NBYTES = 32
SIDES = ("here", "there")
UNIT = "% of a core"


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, (NUM_PAIRS,))
    parser.add_argument("--pairs", dest="sizes", type=int, nargs="+")
    parser.set_defaults(seconds=2.0)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            "idle", peer, pairs, functools.partial(measure, peer, pairs, options)
        )
        for run in range(options.runs)
        for pairs in options.sizes
        for peer in runner.rotated(options.peers, run)
    ]
    measures = {
        f"idle/{side}": report.Measure(
            f"idle, the side that {verb}", UNIT, False, (), "{} pairs".format
        )
        for side, verb in zip(SIDES, ("binds", "connects"), strict=True)
    }
    targets = [
        Target(text, UNIT, (name, peer, NUM_PAIRS), 0.5, more_is_better=False)
        for name, text in zip(
            measures, ("idle, binding", "idle, connecting"), strict=True
        )
        for peer in PEERS[:2]
    ]
    report.write(runner.collect(turns), measures, options, targets)


def measure(peer: str, pairs: int, options: argparse.Namespace) -> runner.Figures:
    """Measure one peer once."""
    seconds = options.seconds
    found = runner.run_pair(peer, "idle", "greet", NBYTES, seconds, num_pairs=pairs)
    return {f"idle/{side}": value for side, value in found.items()}


if __name__ == "__main__":
    main()
