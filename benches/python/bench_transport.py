"""Messages between two processes over ipc: busduct beside pyzmq.

Peers take turns, in another order each run, so that a slow minute of the machine hits
all. Each checks its first hundred messages before the clock starts.

    python benches/python/bench_transport.py [--runs 5] [--json FILE] [--plot FILE.png]
"""

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PEERS_DIR = Path(__file__).resolve().parents[1] / "peers"
PEERS = ("busduct_await", "busduct_batch", "zmq_asyncio", "pyzmq_copy", "pyzmq_view")
# A batch has no meaning where each message waits for the last.
ROUND_TRIP_PEERS = tuple(peer for peer in PEERS if peer != "busduct_batch")
SIZES = (32, 1 << 10, 32 << 10, 1 << 20)
MEASURES = {"rate": "msg/s", "p50_us": "us", "p99_us": "us", "rate_64": "/s"}
TITLES = {
    "rate": "one way, messages a second",
    "p50_us": "round trip, 1 outstanding, p50 in us",
    "p99_us": "round trip, 1 outstanding, p99 in us",
    "rate_64": "round trips a second, 64 outstanding",
}
DEADLINE_S = 60.0

Results = dict[tuple[str, str, int], list[float]]


def main() -> None:
    """Run what the command line asks for and print the tables."""
    options = parse_options()
    results: Results = defaultdict(list)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        cases = list(plan(options))
        bar = progress.add_task("measuring", total=len(cases))
        for role, peer, nbytes in cases:
            progress.update(bar, description=f"{role} {peer} {nbytes} B")
            for measure, value in run_case(role, peer, nbytes, options.seconds).items():
                results[measure, peer, nbytes].append(value)
            progress.advance(bar)
    print_tables(results, options)
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    if options.plot:
        plot(results, options)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="per measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--json", type=Path, help="write every run to this file")
    parser.add_argument("--plot", type=Path, help="draw the medians (needs matplotlib)")
    options = parser.parse_args()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib")
    return options


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Order the cases: peers next to each other, rotated from run to run."""
    for run in range(options.runs):
        turn = run % len(options.peers)
        peers = options.peers[turn:] + options.peers[:turn]
        for nbytes in options.sizes:
            yield from (("receive", peer, nbytes) for peer in peers)
            asking = (peer for peer in peers if peer in ROUND_TRIP_PEERS)
            yield from (("ask", peer, nbytes) for peer in asking)


def run_case(role: str, peer: str, nbytes: int, seconds: float) -> dict[str, float]:
    """Measure one peer in two processes of its own.

    Raises:
        subprocess.SubprocessError: The measuring side failed or took too long.
    """
    other = {"receive": "send", "ask": "answer"}[role]
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        arguments = [f"ipc://{directory}/a", str(nbytes), str(seconds)]
        program = [sys.executable, str(PEERS_DIR / f"{peer}.py")]
        partner = subprocess.Popen([*program, other, *arguments])
        try:
            measuring = subprocess.run(
                [*program, role, *arguments],
                stdout=subprocess.PIPE,
                timeout=DEADLINE_S,
                check=True,
            )
        finally:
            partner.kill()
            partner.wait()
    result: dict[str, float] = json.loads(measuring.stdout)
    return result


def print_tables(results: Results, options: argparse.Namespace) -> None:
    """Print one table a measure: median, and the range of the runs."""
    console = Console()
    console.print(f"{machine()}; {options.runs} runs; median, min - max")
    for measure, title in TITLES.items():
        table = Table(title=title, title_justify="left")
        table.add_column("peer")
        for nbytes in options.sizes:
            table.add_column(f"{nbytes} B", justify="right")
        for peer in options.peers:
            rows = [results.get((measure, peer, nbytes)) for nbytes in options.sizes]
            if any(rows):
                table.add_row(peer, *map(summary, rows))
        console.print(table)


def summary(values: list[float] | None) -> str:
    """Format the median and the range of one cell."""
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.0f}\n{low:,.0f} - {high:,.0f}"


def as_json(results: Results) -> dict[str, Any]:
    """Return every run, with where and how it was measured."""
    cases = [
        {
            "id": f"{measure}/{peer}/{nbytes}",
            "unit": MEASURES[measure],
            "median": statistics.median(values),
            "runs": values,
        }
        for (measure, peer, nbytes), values in results.items()
    ]
    command = " ".join(["python", *sys.argv])
    return {
        "machine": machine(),
        "commit": commit(),
        "command": command,
        "cases": cases,
    }


def machine() -> str:
    """Name the processor, the number of cores and the kernel."""
    text = Path("/proc/cpuinfo").read_text()
    model = text.partition("model name")[2].partition("\n")[0].strip("\t :")
    cores = text.count("processor\t:")
    return f"{cores} x {model}, {platform.system()} {platform.release()}"


def commit() -> str:
    """Return the commit of this checkout, or "" outside of one."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=PEERS_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


def plot(results: Results, options: argparse.Namespace) -> None:
    """Draw the one-way medians against the size, both axes logarithmic."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    for peer in options.peers:
        medians = [
            statistics.median(results["rate", peer, nbytes]) for nbytes in options.sizes
        ]
        axes.loglog(options.sizes, medians, marker="o", label=peer)
    axes.set(xlabel="bytes a message", ylabel="messages a second, one way")
    axes.legend()
    figure.savefig(options.plot)


if __name__ == "__main__":
    main()
