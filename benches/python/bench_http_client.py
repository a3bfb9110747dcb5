"""HTTP clients in one process: requests a second, and what each costs of a processor.

All ask the same server, which sends replies that it made beforehand, from a process of
its own. 64 requests are under way at a time, on connections that are kept alive; each
response is checked. Streams are taken apart into events by the same parser. Peers take
turns, in another order each run.

    python benches/python/bench_http_client.py [--runs 5] [--json FILE] [--plot FILE]
"""

import argparse
import functools
import socket

import report
import runner
from targets import Target

PEERS = ("http_busduct", "http_aiohttp", "http_mlcommons")
RIVALS = ("http_aiohttp", "http_mlcommons")
NUM_EVENTS = (0, 20)


def column(num_events: int) -> str:
    return f"{num_events} events" if num_events else "one body of 1 KB"


MEASURES = {
    "rate": report.Measure("Requests a second", "/s", True, RIVALS, column),
    "cpu_us": report.Measure(
        "Processor time of the client for each request", "us", False, RIVALS, column
    ),
}
TARGETS = tuple(
    Target(
        f"requests, {column(num_events)}",
        "/s",
        ("rate", "http_busduct", num_events),
        1.3,
        (("rate", "http_mlcommons", num_events),),
    )
    for num_events in NUM_EVENTS
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, NUM_EVENTS)
    parser.add_argument("--connections", type=int, default=64)
    report.add_pin(parser)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            "requests",
            peer,
            num_events,
            functools.partial(measure, peer, num_events, options),
        )
        for run in range(options.runs)
        for num_events in options.sizes
        for peer in runner.rotated(PEERS, run)
        if peer in options.peers
    ]
    report.write(runner.collect(turns), MEASURES, options, TARGETS)


def measure(peer: str, num_events: int, options: argparse.Namespace) -> runner.Figures:
    """Measure one client once."""
    port = free_port()
    task = (port, num_events, options.seconds, options.connections)
    core = ("--core", 0) if options.pin else ()
    return runner.run_both(
        runner.command(peer, "ask", *task, *core),
        runner.command("http_echo", "serve", port, num_events),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
