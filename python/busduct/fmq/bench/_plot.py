"""A benchmark's latencies as a picture."""

from pathlib import Path
from typing import Any

from busduct._figures import COLORS, new_figure, save_figure, scale_in_ms, style
from busduct.fmq.bench._config import Mode
from busduct.fmq.bench._report import BenchReport, CaseReport

__all__ = ["plot_bench"]

_TITLES: dict[Mode, str] = {
    "burst": "Latency in a burst: of the queue that it makes",
    "paced": "Latency when paced",
}
_CARRIERS = {"shm": "shared memory", "kernel": "kernel"}


def plot_bench(report: BenchReport, path: Path) -> None:
    """Write a PNG with histograms of the latencies, one picture for each mode.

    Args:
        report: Of a benchmark that has a case.
        path: Of the file, which is replaced.

    Raises:
        ImportError: The extra ``plot`` is missing.
        OSError: The file cannot be written.
    """
    modes = list(dict.fromkeys(case.mode for case in report.cases))
    figure = new_figure(9.0, 1.0 + 3.5 * len(modes))
    all_axes = figure.subplots(len(modes), 1, squeeze=False)
    for row, mode in zip(all_axes, modes, strict=True):
        cases = [case for case in report.cases if case.mode == mode]
        _plot_histograms(row[0], cases)
        row[0].set_title(_title(report, mode))
    figure.suptitle(_headline(report), fontsize=11)
    save_figure(figure, path)


def _headline(report: BenchReport) -> str:
    settings = report.settings
    return (
        f"{settings.payload} of {settings.payload_nbytes:,} bytes, "
        f"{settings.num_messages:,} from each of {settings.num_producers} to "
        f"{settings.num_consumers}"
    )


def _title(report: BenchReport, mode: Mode) -> str:
    title = _TITLES[mode]
    if mode == "paced":
        title += f": {report.settings.rate:,g}/s of each producer"
    return title


def _plot_histograms(axes: Any, cases: list[CaseReport]) -> None:
    style(axes, "ms", "part of the messages")
    lows, highs = [], []
    for color, case in zip(COLORS, cases, strict=False):
        found = case.latency
        if found is None:
            continue
        edges = [low for low, _, _ in case.histogram] + [case.histogram[-1][1]]
        parts = [count / found.count for _, _, count in case.histogram]
        label = f"{_CARRIERS[case.carrier]}: p50 {found.p50:.3g}, p99 {found.p99:.3g}"
        axes.stairs(parts, edges, color=color, fill=True, alpha=0.25)
        axes.stairs(parts, edges, color=color, label=label)
        lows.append(edges[0])
        highs.append(edges[-1])
    if lows:
        scale_in_ms(axes, min(lows), max(highs))
        axes.set_ylim(bottom=0)
        axes.legend(loc="best", fontsize=8)
