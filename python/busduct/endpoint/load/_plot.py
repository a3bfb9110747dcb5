"""A report as a picture."""

from pathlib import Path
from typing import Any

from busduct._durations import Distribution
from busduct._figures import (
    COLORS,
    new_figure,
    save_figure,
    scale_in_ms,
    style,
)
from busduct.endpoint.load._report import LoadReport

__all__ = ["plot_report"]

# Rates of shorter steps than this part of the run would be noise.
_MAX_STEPS = 60
_FEW_STEPS = 10
# Of a distribution, what is left of this may fall outside.
_LOW_PART = 0.02
# Shorter times between events are of what came in one read.
_LEAST_MS = 0.01


def plot_report(report: LoadReport, path: Path) -> None:
    """Write a PNG with the report's distributions and its course over time.

    Args:
        report: Of a run.
        path: Of the file, which is replaced.

    Raises:
        ImportError: The extra ``plot`` is missing.
        OSError: The file cannot be written.
    """
    figure = new_figure(11.0, 7.0)
    axes = figure.subplots(2, 2)
    _plot_curves(axes[0][0], {"end to end": report.latency, "TTFT": report.ttft})
    axes[0][0].set_title("Latency from when a request was due")
    _plot_curves(axes[0][1], {"ITL": report.itl, "TPOT": report.tpot})
    axes[0][1].set_title("Time between events (ITL), per token (TPOT)")
    _plot_ttft(axes[1][0], report)
    _plot_rates(axes[1][1], report)
    figure.suptitle(_headline(report), fontsize=11)
    save_figure(figure, path)


def _headline(report: LoadReport) -> str:
    settings, requests = report.settings, report.requests
    what = f"{settings.api} at {settings.url}"
    if settings.model:
        what = f"{settings.model}, {what}"
    counts = f"{requests.completed:,} requests, {requests.failed:,} failed"
    rate = f"{report.throughput.requests:,.1f} requests/s"
    tokens = f"{report.throughput.output_tokens:,.0f} tokens/s"
    return f"{what}\n{counts} in {report.seconds:,.1f} s: {rate}, {tokens}"


def _plot_curves(axes: Any, distributions: dict[str, Distribution | None]) -> None:
    """Draw what part is no longer than how long."""
    style(axes, "ms", "part of all")
    drawn: list[Distribution] = []
    for color, (name, found) in zip(COLORS, distributions.items(), strict=False):
        if found is None:
            continue
        drawn.append(found)
        durations = [max(ms, _LEAST_MS) for ms in (found.min, *_durations(found))]
        parts = [0.0, *(part for _, part in found.curve)]
        label = f"{name}: p50 {_ms(found.p50)}, p99 {_ms(found.p99)}"
        axes.plot(durations, parts, color=color, label=label, drawstyle="steps-post")
    if not drawn:
        _say_nothing(axes, "no events: not streamed, or none ended well")
        return
    high = 1.25 * max(_LEAST_MS, *(found.max for found in drawn))
    scale_in_ms(axes, 0.8 * min(map(_low_end, drawn)), high)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="best", fontsize=8)


def _plot_ttft(axes: Any, report: LoadReport) -> None:
    style(axes, "seconds from the start", "ms")
    samples = report.steps.ttft_samples
    axes.set_title("TTFT over time")
    if not samples:
        _say_nothing(axes, "no events")
        return
    seconds, values = zip(*samples, strict=True)
    axes.plot(seconds, values, ".", color=COLORS[1], markersize=2.5, alpha=0.5)
    axes.set_ylim(bottom=0)


def _plot_rates(axes: Any, report: LoadReport) -> None:
    style(axes, "seconds from the start", "requests/s")
    axes.set_title("Requests over time")
    steps = report.steps
    merged = -(-len(steps.issued) // _MAX_STEPS)
    width = steps.width * merged
    series = {
        "sent": (steps.issued, COLORS[2], "--"),
        "ended well": (steps.completed, COLORS[0], "-"),
        "failed": (steps.failed, COLORS[3], "-"),
    }
    for name, (counts, color, line) in series.items():
        if not any(counts):
            continue
        rates = [
            sum(counts[start : start + merged]) / width
            for start in range(0, len(counts), merged)
        ]
        middles = [(number + 0.5) * width for number in range(len(rates))]
        # A single one makes no line.
        marker = "." if len(rates) < _FEW_STEPS else ""
        axes.plot(middles, rates, marker + line, color=color, label=name, linewidth=1.4)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(loc="lower right", fontsize=8)


def _durations(found: Distribution) -> list[float]:
    return [ms for ms, _ in found.curve]


def _low_end(found: Distribution) -> float:
    """Return where to begin: the first few would make room for themselves alone."""
    return max(next(ms for ms, part in found.curve if part >= _LOW_PART), _LEAST_MS)


def _say_nothing(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _ms(value: float) -> str:
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"
