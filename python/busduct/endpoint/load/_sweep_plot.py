"""A sweep as a picture."""

from collections.abc import Iterator
from pathlib import Path

from busduct._figures import COLORS, new_figure, save_figure, style
from busduct.endpoint.load._sweep import SWEPT, SweepPoint, SweepReport

__all__ = ["plot_sweep"]


def plot_sweep(report: SweepReport, path: Path) -> None:
    """Write a PNG: rates and latencies over what varied most.

    Raises:
        ImportError: The extra ``plot`` is missing.
        OSError: The file cannot be written.
    """
    figure = new_figure(11.0, 4.5)
    rates, latencies = figure.subplots(1, 2)
    across, others = _across(report.points)
    style(rates, _label(across), "requests/s")
    rates.set_title("Requests that ended well")
    style(latencies, _label(across), "ms")
    latencies.set_title("Latency: p50 (line), p99 (dots)")
    for number, (name, points) in enumerate(_lines(report.points, across, others)):
        color = COLORS[number % len(COLORS)]
        places = [getattr(point, across) for point in points]
        throughputs = [point.report.throughput.requests for point in points]
        rates.plot(places, throughputs, "o-", color=color, label=name)
        measured = [
            (place, point.report.latency)
            for place, point in zip(places, points, strict=True)
            if point.report.latency is not None
        ]
        xs = [place for place, _ in measured]
        latencies.plot(xs, [found.p50 for _, found in measured], "o-", color=color)
        latencies.plot(xs, [found.p99 for _, found in measured], ":", color=color)
    for axes in (rates, latencies):
        axes.set_ylim(bottom=0)
    if others:
        rates.legend(fontsize=8)
    if report.points:
        figure.suptitle(_headline(report.points[0]), fontsize=11)
    save_figure(figure, path)


def _across(points: list[SweepPoint]) -> tuple[str, list[str]]:
    """Return the name with the most different numbers, and the others that vary."""
    different = {
        name: len({getattr(point, name) for point in points} - {None}) for name in SWEPT
    }
    across = max(SWEPT, key=lambda name: different[name])
    return across, [name for name in SWEPT if name != across and different[name] > 1]


def _lines(
    points: list[SweepPoint], across: str, others: list[str]
) -> Iterator[tuple[str, list[SweepPoint]]]:
    lines: dict[tuple[int, ...], list[SweepPoint]] = {}
    for point in points:
        if getattr(point, across) is not None:
            key = tuple(getattr(point, name) for name in others)
            lines.setdefault(key, []).append(point)
    for key, line in lines.items():
        name = ", ".join(
            f"{number} {_label(other)}"
            for other, number in zip(others, key, strict=True)
        )
        yield name, line


def _label(name: str) -> str:
    return {"input_length": "words per prompt"}.get(name, name)


def _headline(point: SweepPoint) -> str:
    settings = point.report.settings
    what = f"{settings.api} at {settings.url}"
    return f"{settings.model}, {what}" if settings.model else what
