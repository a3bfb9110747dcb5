"""Round trips between two processes over ipc: busduct beside pyzmq and others.

REQ with REP asks one at a time; DEALER with ROUTER also 64 at once, and so do two
sockets that have only each other, which libraries without patterns can do too. Peers
take turns, in another order each run. Each checks the first replies before the clock
starts.

    python benches/python/bench_round_trips.py [--runs 5] [--json FILE] [--plot FILE]
"""

import argparse
import functools
from dataclasses import dataclass

import report
import runner
from targets import Target

ZEROMQ = (
    *("busduct_await", "busduct_blocking", "busduct_spin"),
    *("zmq_asyncio", "pyzmq_copy", "pyzmq_view"),
)
SIZES = (32, 1 << 10, 32 << 10)


@dataclass(frozen=True)
class Pattern:
    """The role that measures, its partner's, the sockets, and who takes part."""

    measuring: str
    other: str
    sockets: str
    peers: tuple[str, ...] = ZEROMQ
    rivals: tuple[str, ...] = report.RIVALS


PATTERNS = (
    Pattern("request", "reply", "REQ/REP"),
    Pattern("ask", "answer", "DEALER/ROUTER"),
    Pattern(
        "ping",
        "pong",
        "one to one",
        (
            *("busduct_await", "busduct_spin", "pyzmq_drain", "unix_stream"),
            *("zenoh_shm", "iceoryx2_spin", "iceoryx2_event", "eventfd"),
        ),
        ("pyzmq_drain", "unix_stream", "zenoh_shm"),
    ),
)
PEERS = tuple(dict.fromkeys(peer for each in PATTERNS for peer in each.peers))
FIGURES = {
    "p50_us": ("1 outstanding, p50 in us", "us", False),
    "p99_us": ("1 outstanding, p99 in us", "us", False),
    "rate_64": ("64 outstanding, round trips a second", "/s", True),
}
MEASURES = {
    f"{each.measuring}/{figure}": report.Measure(
        f"{each.sockets}, {title}", unit, more_is_better, each.rivals
    )
    for each in PATTERNS
    for figure, (title, unit, more_is_better) in FIGURES.items()
}
TARGETS = (
    Target(
        "round trip, 32 B, sleeping, p50",
        "us",
        ("ping/p50_us", "busduct_await", 32),
        1.8,
        (("ping/p50_us", "eventfd", 32),),
        more_is_better=False,
    ),
    Target(
        "round trip, 32 B, spinning, p50",
        "us",
        ("ping/p50_us", "busduct_spin", 32),
        8,
        more_is_better=False,
    ),
    Target(
        "round trips, 32 B, 64 outstanding",
        "/s",
        ("ping/rate_64", "busduct_await", 32),
        6,
        (("ping/rate_64", "pyzmq_drain", 32),),
    ),
)


def main() -> None:
    """Run what the command line asks for and print the tables."""
    parser = report.parser(__doc__, PEERS, SIZES)
    roles = [each.measuring for each in PATTERNS]
    parser.add_argument("--roles", nargs="+", choices=roles, default=roles)
    report.add_pin(parser)
    options = report.parse(parser)
    turns = [
        runner.Turn(
            each.sockets,
            peer,
            nbytes,
            functools.partial(measure, each, peer, nbytes, options),
        )
        for run in range(options.runs)
        for each in PATTERNS
        if each.measuring in options.roles
        for nbytes in options.sizes
        for peer in runner.rotated(each.peers, run)
        if peer in options.peers
    ]
    targets = TARGETS if "ping" in options.roles else ()
    report.write(runner.collect(turns), MEASURES, options, targets)


def measure(
    pattern: Pattern, peer: str, nbytes: int, options: argparse.Namespace
) -> runner.Figures:
    """Measure the round trips of one peer once."""
    roles = (pattern.measuring, pattern.other)
    found = runner.run_pair(peer, *roles, nbytes, options.seconds, pin=options.pin)
    return {f"{pattern.measuring}/{name}": value for name, value in found.items()}


if __name__ == "__main__":
    main()
