"""Messages one way between two processes over ipc: busduct beside pyzmq.

Peers take turns, in another order each run, so that a slow minute of the machine hits
all. Each checks the first messages before the clock starts.

    python benches/python/bench_transport.py [--runs 5] [--json FILE] [--plot FILE.png]
"""

import functools

import report
import runner

PEERS = ("busduct_await", "busduct_batch", "zmq_asyncio", "pyzmq_copy", "pyzmq_view")
SIZES = (32, 1 << 10, 32 << 10, 1 << 20)
MEASURES = {"rate": report.Measure("one way, messages a second", "msg/s")}


def main() -> None:
    """Run what the command line asks for and print the table."""
    options = report.parse(report.parser(__doc__, PEERS, SIZES))
    turns = [
        runner.Turn(
            "one way",
            peer,
            nbytes,
            functools.partial(
                runner.run_pair, peer, "receive", "send", nbytes, options.seconds
            ),
        )
        for run in range(options.runs)
        for nbytes in options.sizes
        for peer in runner.rotated(options.peers, run)
    ]
    report.write(runner.collect(turns), MEASURES, options)


if __name__ == "__main__":
    main()
