"""What the benches beside other libraries share: rotation, tables, json, a plot."""

import argparse
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PEERS_DIR = Path(__file__).resolve().parents[1] / "peers"
DEADLINE_S = 60.0
RIVALS = ("zmq_asyncio", "pyzmq_copy", "pyzmq_view")

Results = dict[tuple[str, str, int], list[float]]


@dataclass(frozen=True)
class Measure:
    """One table: a figure of every peer at every size."""

    title: str
    unit: str
    more_is_better: bool = True


def parser(
    description: str, peers: Sequence[str], sizes: Sequence[int]
) -> argparse.ArgumentParser:
    """Return a parser of the options that every bench has."""
    found = argparse.ArgumentParser(description=description.partition("\n")[0])
    found.add_argument("--runs", type=int, default=5)
    found.add_argument("--seconds", type=float, default=0.6, help="per measurement")
    found.add_argument("--sizes", type=int, nargs="+", default=sizes)
    found.add_argument("--peers", nargs="+", choices=peers, default=peers)
    found.add_argument("--json", type=Path, help="write every run to this file")
    found.add_argument("--plot", type=Path, help="draw the medians (needs matplotlib)")
    return found


def parse(found: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line."""
    options = found.parse_args()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        found.error("--plot needs matplotlib")
    return options


def rotated(peers: Sequence[str], run: int) -> Sequence[str]:
    """Return the order in which peers take their turns in a run."""
    turn = run % len(peers)
    return [*peers[turn:], *peers[:turn]]


@contextmanager
def fresh_endpoint() -> Iterator[str]:
    """Give an ipc endpoint that nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="bd-") as directory:
        yield f"ipc://{directory}/a"


def run_peer(peer: str, role: str, *arguments: object) -> dict[str, float]:
    """Run a measuring role to its end, and end what it has started.

    Raises:
        subprocess.SubprocessError: It failed or took too long.
    """
    program = command(peer, role, *arguments)
    measuring = subprocess.Popen(
        program, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        output, _ = measuring.communicate(timeout=DEADLINE_S)
    finally:
        if measuring.poll() is None:
            os.killpg(measuring.pid, signal.SIGKILL)
            measuring.wait()
    if measuring.returncode:
        raise subprocess.CalledProcessError(measuring.returncode, program)
    result: dict[str, float] = json.loads(output)
    return result


def run_pair(
    peer: str, measuring: str, other: str, nbytes: int, seconds: float
) -> dict[str, float]:
    """Measure one role of a peer, with another process of it in the other role.

    Raises:
        subprocess.SubprocessError: The measuring side failed or took too long.
    """
    with fresh_endpoint() as endpoint:
        partner = subprocess.Popen(command(peer, other, endpoint, nbytes, seconds))
        try:
            return run_peer(peer, measuring, endpoint, nbytes, seconds)
        finally:
            partner.kill()
            partner.wait()


def command(peer: str, role: str, *arguments: object) -> list[str]:
    """Return the command line of one peer in one role."""
    program = str(PEERS_DIR / f"{peer}.py")
    return [sys.executable, program, role, *map(str, arguments)]


def write(
    results: Results, measures: dict[str, Measure], options: argparse.Namespace
) -> None:
    """Print a table a measure, and write the files that were asked for."""
    console = Console()
    heading = f"{machine()}; commit {commit()}; {options.runs} runs"
    console.print(f"{heading}; median, min - max, and x: as good as pyzmq's best")
    for name, measure in measures.items():
        console.print(make_table(results, name, measure, options))
    if options.json:
        options.json.write_text(json.dumps(as_json(results, measures), indent=2) + "\n")
    if options.plot:
        plot(results, measures, options)


def make_table(
    results: Results, name: str, measure: Measure, options: argparse.Namespace
) -> Table:
    """Lay out one measure: peers below one another, sizes beside one another."""
    table = Table(title=measure.title, title_justify="left")
    table.add_column("peer")
    for nbytes in options.sizes:
        table.add_column(f"{nbytes} B", justify="right")
        table.add_column("x", justify="right")
    for peer in options.peers:
        rows = [results.get((name, peer, nbytes)) for nbytes in options.sizes]
        if any(rows):
            ratios = [ratio(results, name, measure, peer, n) for n in options.sizes]
            pairs = zip(map(summary, rows), ratios, strict=True)
            table.add_row(peer, *(cell for pair in pairs for cell in pair))
    return table


def ratio(results: Results, name: str, measure: Measure, peer: str, nbytes: int) -> str:
    """Say how many times as good as the best of pyzmq a peer is, by medians."""
    cells = {each: results.get((name, each, nbytes)) for each in (*RIVALS, peer)}
    medians = {each: statistics.median(cell) for each, cell in cells.items() if cell}
    rivals = [medians[each] for each in RIVALS if each in medians]
    if not rivals or peer not in medians:
        return ""
    if measure.more_is_better:
        return f"{medians[peer] / max(rivals):.2f}"
    return f"{min(rivals) / medians[peer]:.2f}"


def summary(values: list[float] | None) -> str:
    """Format the median and the range of one cell."""
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.0f}\n{low:,.0f} - {high:,.0f}"


def as_json(results: Results, measures: dict[str, Measure]) -> dict[str, Any]:
    """Return every run, with where and how it was measured."""
    cases = [
        {
            "id": f"{name}/{peer}/{nbytes}",
            "unit": measures[name].unit,
            "median": statistics.median(values),
            "runs": values,
        }
        for (name, peer, nbytes), values in results.items()
    ]
    command_line = " ".join(["python", *sys.argv])
    return {
        "machine": machine(),
        "commit": commit(),
        "command": command_line,
        "load": os.getloadavg(),
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


def plot(
    results: Results, measures: Iterable[str], options: argparse.Namespace
) -> None:
    """Draw the medians of each measure against the size, both axes logarithmic."""
    from matplotlib import pyplot

    drawn = [name for name in measures if any(key[0] == name for key in results)]
    figure, grid = pyplot.subplots(1, len(drawn), figsize=(6 * len(drawn), 5))
    for name, axes in zip(drawn, [grid] if len(drawn) == 1 else grid, strict=True):
        for peer in options.peers:
            sizes = [n for n in options.sizes if (name, peer, n) in results]
            medians = [statistics.median(results[name, peer, n]) for n in sizes]
            axes.loglog(sizes, medians, marker="o", label=peer)
        axes.set(xlabel="bytes a message", title=name)
        axes.legend()
    figure.savefig(options.plot)
