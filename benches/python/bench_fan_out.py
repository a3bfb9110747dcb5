"""Messages of one publisher to 1, 4 and 16 subscribers over ipc: busduct beside pyzmq.

Each is a process of its own. Nothing is dropped: a PUB with `on_full="wait"` beside an
XPUB with XPUB_NODROP. The figure is what reaches the last subscriber, from the first
message to the last. Peers take turns, in another order each run; each subscriber checks
the first messages before the clock starts, and that it got all the others.

    python benches/python/bench_fan_out.py [--runs 5] [--subscribers 1 4 16]
"""

from collections import defaultdict

from rich.console import Console
from rich.progress import Progress

import report

PEERS = ("busduct_await", "busduct_batch", "zmq_asyncio", "pyzmq_copy", "pyzmq_view")
SIZES = (32, 1 << 10, 32 << 10, 1 << 20)
SUBSCRIBERS = (1, 4, 16)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    parser.set_defaults(seconds=0.4)
    parser.add_argument("--subscribers", type=int, nargs="+", default=SUBSCRIBERS)
    options = report.parse(parser)
    results: report.Results = defaultdict(list)
    cases = [
        (count, peer, nbytes)
        for run in range(options.runs)
        for count in options.subscribers
        for nbytes in options.sizes
        for peer in report.rotated(options.peers, run)
    ]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for count, peer, nbytes in progress.track(cases, description="fan-out"):
            with report.fresh_endpoint() as endpoint:
                task = (endpoint, nbytes, options.seconds, count)
                found = report.run_peer(peer, "fan_out", *task)
            results[f"published/{count}", peer, nbytes].append(found["rate"])
    measures = {
        f"published/{count}": report.Measure(
            f"{count} subscribers, messages a second published to each", "msg/s"
        )
        for count in options.subscribers
    }
    report.write(results, measures, options)


if __name__ == "__main__":
    main()
