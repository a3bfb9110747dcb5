"""How a run of load looks in a terminal, and in a log."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from busduct.cli._live_view import LiveView, write_line

if TYPE_CHECKING:
    from busduct.endpoint.load import Distribution, LoadReport, Progress

__all__ = ["ProgressView", "milliseconds", "show_report"]

_TERMINAL_INTERVAL = 0.5
_LOG_INTERVAL = 5.0
_COUNTED_BY = {
    "usage": "as the endpoint tells",
    "events": "one per event: the endpoint does not tell",
    "both": "as the endpoint tells, or one per event",
    "nothing": "the endpoint does not tell",
}


class ProgressView(LiveView[Live]):
    """Shows progress on standard error: a line that changes, or a line now and then.

    Attributes:
        interval: Seconds between two looks.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        if console.is_terminal:
            self.interval = _TERMINAL_INTERVAL
            live = Live(console=console, auto_refresh=False, transient=True)
            super().__init__(live)
        else:
            self.interval = _LOG_INTERVAL
            super().__init__(None)

    def show(self, progress: "Progress") -> None:
        """Show how it is going."""
        if self._live is None:
            write_line(_line(progress))
        else:
            self._live.update(Text(_line(progress), overflow="ellipsis"), refresh=True)


def show_report(report: "LoadReport", *, to_stderr: bool) -> None:
    """Show a report as a table."""
    console = Console(stderr=to_stderr, highlight=False)
    settings = report.settings
    model = f"{settings.model}, " if settings.model else ""
    console.print(f"[bold]{model}{settings.api} at {settings.url}[/bold]", markup=True)
    console.print(_counts(report))
    for name, count in report.requests.errors.items():
        text = report.requests.error_texts[name].partition("\n")[0][:200]
        message = f"  {count:,} {name}: {text}" if text else f"  {count:,} {name}"
        console.print(message, style="red", markup=False)
    console.print(_throughput(report))
    console.print(_latencies(report))
    if report.interrupted:
        console.print("ended early: this is what was measured until then")


def milliseconds(value: float) -> str:
    """Return a duration with three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _line(progress: "Progress") -> str:
    parts = [
        f"{progress.seconds:6.1f} s",
        f"{progress.requests_per_second:,.1f} req/s",
        f"{progress.tokens_per_second:,.0f} tok/s",
        f"{progress.num_in_flight:,} in flight",
        f"{progress.num_completed:,} done",
    ]
    if progress.num_failed:
        parts.append(f"{progress.num_failed:,} FAILED")
    for name, value in (
        ("TTFT", progress.ttft_p50),
        ("TPOT", progress.tpot_p50),
        ("latency", progress.latency_p50),
    ):
        if value is not None:
            parts.append(f"{name} p50 {milliseconds(value)} ms")
    return "  ".join(parts)


def _counts(report: "LoadReport") -> str:
    requests = report.requests
    text = (
        f"{requests.completed:,} requests ended well and {requests.failed:,} failed "
        f"in {report.seconds:,.2f} s"
    )
    if requests.unfinished:
        text += f"; {requests.unfinished:,} had not ended"
    return text


def _throughput(report: "LoadReport") -> Table:
    found, tokens = report.throughput, report.tokens
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    offered = f"{found.offered_requests:,.1f} were sent"
    table.add_row("requests/s", f"{found.requests:,.1f}", offered)
    told = _COUNTED_BY[tokens.counted_by]
    table.add_row("output tokens/s", f"{found.output_tokens:,.1f}", told)
    if found.events:
        table.add_row("events/s", f"{found.events:,.1f}", "")
    return table


def _latencies(report: "LoadReport") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("milliseconds")
    for name in ("mean", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="right")
    table.add_column("", style="dim")
    rows: tuple[tuple[str, Distribution | None, str], ...] = (
        ("TTFT", report.ttft, "due to first event"),
        ("TPOT", report.tpot, "each further token"),
        ("ITL", report.itl, "event to event"),
        ("end to end", report.latency, "due to end"),
        ("send lag", report.send_lag, "due to sent"),
        ("delivery lag", report.delivery_lag, "ended to measured"),
    )
    for name, found, meaning in rows:
        if found is None:
            continue
        values = (found.mean, found.p50, found.p90, found.p99, found.max)
        table.add_row(name, *map(milliseconds, values), meaning)
    return table
