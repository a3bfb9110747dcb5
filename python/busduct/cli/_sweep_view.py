"""How a sweep looks in a terminal, and in a log."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from busduct.cli._live_view import write_line
from busduct.cli._load_view import milliseconds

if TYPE_CHECKING:
    from busduct.endpoint.load import Distribution, SweepPoint, SweepReport

__all__ = ["show_point", "show_sweep"]

_NAMES = {
    "workers": "workers",
    "connections": "connections",
    "input_length": "words per prompt",
}
# Narrow enough that all columns have room in eighty.
_HEADINGS = {"workers": "workers", "connections": "conns", "input_length": "words"}


def show_point(point: "SweepPoint") -> None:
    """Show one run on standard error, as soon as it has ended."""
    varied = [
        f"{getattr(point, name)} {title}"
        for name, title in _NAMES.items()
        if getattr(point, name) is not None
    ]
    rate = f"{point.report.throughput.requests:,.1f} req/s"
    write_line(f"{', '.join(varied) or 'as given'}: {rate}")


def show_sweep(report: "SweepReport", *, to_stderr: bool) -> None:
    """Show all runs as a table."""
    console = Console(stderr=to_stderr, highlight=False)
    varied = [
        name
        for name in _NAMES
        if any(getattr(point, name) is not None for point in report.points)
    ]
    has_ttft = any(point.report.ttft is not None for point in report.points)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in (
        *(_HEADINGS[name] for name in varied),
        *("req/s", "tokens/s", "failed"),
        *(("TTFT p50", "p99") if has_ttft else ()),
        *("e2e p50", "p99"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in report.points:
        found = point.report
        table.add_row(
            *(str(getattr(point, name)) for name in varied),
            f"{found.throughput.requests:,.1f}",
            f"{found.throughput.output_tokens:,.0f}",
            f"{found.requests.failed:,}",
            *(_middle_and_end(found.ttft) if has_ttft else ()),
            *_middle_and_end(found.latency),
        )
    console.print(table)
    console.print("TTFT and end to end in milliseconds", style="dim")
    if report.interrupted:
        console.print("ended early: this is what was measured until then")


def _middle_and_end(found: "Distribution | None") -> tuple[str, str]:
    if found is None:
        return "-", "-"
    return milliseconds(found.p50), milliseconds(found.p99)
