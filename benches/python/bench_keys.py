"""What a key costs: messages between two processes over TCP, without one and with one.

The two take turns, in another order each run, so that a slow minute of the machine hits
both. Each checks the first messages before the clock starts.

    python benches/python/bench_keys.py [--runs 5] [--sizes 1024 65536]
"""

import argparse
import socket
import statistics
from collections import defaultdict

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from report import commit, machine
from runner import run_pair
from tables import summary

STYLES = {"await": "one call a message", "batch": "many messages a call"}
SIZES = (32, 1 << 10, 64 << 10, 1 << 20)

# The rates of each (style, kind, bytes a message).
Results = dict[tuple[str, str, int], list[float]]


def main() -> None:
    """Run what the command line asks for and print the tables."""
    options = parse_options()
    results: Results = defaultdict(list)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = options.runs * len(options.sizes) * len(STYLES)
        bar = progress.add_task("measuring", total=total)
        for run in range(options.runs):
            for nbytes in options.sizes:
                for style in STYLES:
                    for kind in ("plain", "keyed")[:: -1 if run % 2 else 1]:
                        rate = measure(style, kind, nbytes, options.seconds)
                        results[style, kind, nbytes].append(rate)
                    progress.advance(bar)
    print_tables(results, options)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="per measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    return parser.parse_args()


def measure(style: str, kind: str, nbytes: int, seconds: float) -> float:
    """Return the messages a second between two processes of their own.

    Raises:
        subprocess.SubprocessError: One of the two failed, or they took too long.
    """
    peer = f"busduct_{style}{'_keyed' if kind == 'keyed' else ''}"
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    return run_pair(peer, "receive", "send", nbytes, seconds, endpoint=endpoint)["rate"]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def print_tables(results: Results, options: argparse.Namespace) -> None:
    """Print messages a second, and how much of the throughput the key costs."""
    console = Console()
    console.print(f"{machine()}; commit {commit()}; {options.runs} runs")
    for style, title in STYLES.items():
        table = Table(title=f"{title}: median, min - max", title_justify="left")
        for heading in ("messages a second", *(f"{n} B" for n in options.sizes)):
            table.add_column(heading, justify="right")
        for kind in ("plain", "keyed"):
            rows = [summary(results[style, kind, nbytes]) for nbytes in options.sizes]
            table.add_row(kind, *rows)
        costs = [f"{cost(results, style, nbytes):.0%}" for nbytes in options.sizes]
        table.add_row("cost of the key", *costs)
        console.print(table)


def cost(results: Results, style: str, nbytes: int) -> float:
    """Return the share of the plain throughput that is lost, by medians."""
    plain, keyed = (
        statistics.median(results[style, kind, nbytes]) for kind in ("plain", "keyed")
    )
    return 1 - keyed / plain


if __name__ == "__main__":
    main()
