"""Messages of one publisher to 1, 4 and 16 subscribers over ipc: busduct beside pyzmq.

Each is a process of its own. Nothing is dropped: a PUB with `on_full="wait"` beside an
XPUB with XPUB_NODROP. The figure is what reaches the last subscriber, from the first
message to the last. Peers take turns, in another order each run; each subscriber checks
the first messages before the clock starts, and that it got all the others.

    python benches/python/bench_fan_out.py [--runs 5] [--subscribers 1 4 16]
"""

import functools

import report
import runner

PEERS = ("busduct_await", "busduct_batch", "zmq_asyncio", "pyzmq_copy", "pyzmq_view")
SIZES = (32, 1 << 10, 32 << 10, 1 << 20)
SUBSCRIBERS = (1, 4, 16)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    parser.set_defaults(seconds=0.4)
    parser.add_argument("--subscribers", type=int, nargs="+", default=SUBSCRIBERS)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            f"fan-out to {count}",
            peer,
            nbytes,
            functools.partial(measure, peer, nbytes, options.seconds, count),
        )
        for run in range(options.runs)
        for count in options.subscribers
        for nbytes in options.sizes
        for peer in runner.rotated(options.peers, run)
    ]
    measures = {
        f"published/{count}": report.Measure(
            f"{count} subscribers, messages a second published to each", "msg/s"
        )
        for count in options.subscribers
    }
    report.write(runner.collect(turns), measures, options)


def measure(peer: str, nbytes: int, seconds: float, count: int) -> runner.Figures:
    """Return the messages a second that reach each subscriber, by their number."""
    return {f"published/{count}": runner.run_fan_out(peer, nbytes, seconds, count)}


if __name__ == "__main__":
    main()
