"""What the benches beside other libraries report: Markdown tables, json, a plot."""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import PEERS_DIR, Results
from tables import markdown, size, summary
from targets import Target

RIVALS = ("zmq_asyncio", "pyzmq_copy", "pyzmq_view")


@dataclass(frozen=True)
class Measure:
    """One table: a figure of every peer at every size, and how it compares."""

    title: str
    unit: str
    more_is_better: bool = True
    rivals: tuple[str, ...] = RIVALS
    column: Callable[[int], str] = size


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


def add_pin(found: argparse.ArgumentParser) -> None:
    """Offer to pin, which makes round trips steady on a machine that is else idle."""
    found.add_argument(
        "--pin", action="store_true", help="each process to a core of its own"
    )


def parse(found: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line."""
    options = found.parse_args()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        found.error("--plot needs matplotlib")
    return options


def write(
    collected: tuple[Results, list[str]],
    measures: dict[str, Measure],
    options: argparse.Namespace,
    targets: Sequence[Target] = (),
) -> None:
    """Print a table a measure, one of the targets, the notes; write the files.

    Raises:
        SystemExit: A peer failed.
    """
    results, notes = collected
    heading = f"{machine()}; commit {commit()}; load {os.getloadavg()[0]:.1f}"
    print(f"{heading}; {options.runs} runs: median (min - max)")
    for name, measure in measures.items():
        if table := make_table(results, name, measure, options):
            print(f"\n### {measure.title}\n\n{table}")
    if rows := [target.row(results) for target in targets]:
        print(f"\n### Targets\n\n{markdown(Target.HEADINGS, rows)}")
    if notes:
        print("\n" + "\n".join(f"- {note}" for note in notes))
    if options.json:
        found = as_json(results, measures) | {"notes": notes}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.plot:
        plot(results, measures, options)
    if any("FAILED" in note for note in notes):
        sys.exit("a peer failed")


def make_table(
    results: Results, name: str, measure: Measure, options: argparse.Namespace
) -> str:
    """Lay out one measure: peers below one another, sizes beside one another."""
    sizes = [n for n in options.sizes if any(k[::2] == (name, n) for k in results)]
    present = [peer for peer in measure.rivals if any(k[1] == peer for k in results)]
    against = "x best of pyzmq" if measure.rivals == RIVALS else "x best rival"
    headings, rows = ["peer"], []
    for nbytes in sizes:
        headings.append(f"{measure.column(nbytes)}, {measure.unit}")
        headings += [against] if measure.rivals else []
    for peer in options.peers:
        runs = [results.get((name, peer, nbytes)) for nbytes in sizes]
        row = [peer]
        for nbytes, values in zip(sizes, runs, strict=True):
            row.append(summary(values))
            row += [ratio(results, name, measure, peer, nbytes)] * bool(measure.rivals)
        rows += [row] if any(runs) else []
    if not rows:
        return ""
    rivals = f"\n\nRivals: {', '.join(present)}." if present else ""
    return markdown(headings, rows) + rivals


def ratio(results: Results, name: str, measure: Measure, peer: str, nbytes: int) -> str:
    """Say how many times as good as the best rival a peer is, by medians."""
    cells = {
        each: results.get((name, each, nbytes)) for each in (*measure.rivals, peer)
    }
    medians = {each: statistics.median(cell) for each, cell in cells.items() if cell}
    rivals = [medians[each] for each in measure.rivals if each in medians]
    if not rivals or peer not in medians:
        return ""
    if measure.more_is_better:
        return f"{medians[peer] / max(rivals):.2f}"
    return f"{min(rivals) / medians[peer]:.2f}"


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
