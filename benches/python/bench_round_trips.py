"""Round trips between two processes over ipc: busduct beside pyzmq.

REQ with REP asks one at a time; DEALER with ROUTER also 64 at once. Peers take turns,
in another order each run. Each checks the first replies before the clock
starts.

    python benches/python/bench_round_trips.py [--runs 5] [--json FILE] [--plot FILE]
"""

from collections import defaultdict

from rich.console import Console
from rich.progress import Progress

import report

PEERS = (
    "busduct_await",
    "busduct_blocking",
    "zmq_asyncio",
    "pyzmq_copy",
    "pyzmq_view",
)
SIZES = (32, 1 << 10, 32 << 10)
# The measuring role, what its partner does, and the sockets that they use.
PATTERNS = (("request", "reply", "REQ/REP"), ("ask", "answer", "DEALER/ROUTER"))
FIGURES = {
    "p50_us": ("1 outstanding, p50 in us", "us", False),
    "p99_us": ("1 outstanding, p99 in us", "us", False),
    "rate_64": ("64 outstanding, round trips a second", "/s", True),
}
MEASURES = {
    f"{role}/{figure}": report.Measure(f"{sockets}, {title}", unit, more_is_better)
    for role, _, sockets in PATTERNS
    for figure, (title, unit, more_is_better) in FIGURES.items()
    if (role, figure) != ("request", "rate_64")
}


def main() -> None:
    """Run what the command line asks for and print the tables."""
    options = report.parse(report.parser(__doc__, PEERS, SIZES))
    results: report.Results = defaultdict(list)
    cases = [
        (role, other, peer, nbytes)
        for run in range(options.runs)
        for role, other, _ in PATTERNS
        for nbytes in options.sizes
        for peer in report.rotated(options.peers, run)
    ]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for role, other, peer, nbytes in progress.track(cases, description="asking"):
            found = report.run_pair(peer, role, other, nbytes, options.seconds)
            for figure, value in found.items():
                results[f"{role}/{figure}", peer, nbytes].append(value)
    report.write(results, MEASURES, options)


if __name__ == "__main__":
    main()
