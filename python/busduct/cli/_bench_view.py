"""How a benchmark of a queue looks in a terminal, and in a log."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from busduct.cli._live_view import LiveView, write_line
from busduct.cli._load_view import milliseconds

if TYPE_CHECKING:
    from busduct._durations import Distribution
    from busduct.fmq.bench import (
        BenchConfig,
        BenchProgress,
        BenchReport,
        CaseReport,
        MemberFigures,
    )

__all__ = ["BenchView", "show_bench"]

# More would not fit into a terminal; then one bar is for all of them.
_MAX_BARS = 8
_CARRIERS = {"shm": "shared memory", "kernel": "kernel"}
_LATENCIES = ("avg", "min", "P50", "P95", "P99", "max")
_GIGABYTE = 1e9
_MIN_WIDTH = 110


class BenchView(LiveView[Progress]):
    """Shows progress on standard error: bars in a terminal, else a line per round.

    Args:
        config: Of the benchmark.
    """

    def __init__(self, config: "BenchConfig") -> None:
        console = Console(stderr=True)
        self._config = config
        self._producers: list[TaskID] = []
        self._consumers: list[TaskID] = []
        self._shown: tuple[str, str, int] | None = None
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        super().__init__(bars if console.is_terminal else None)

    def show(self, progress: "BenchProgress") -> None:
        """Show how it is going."""
        if progress.rate is not None:
            self._write(f"{_title(progress)}: {progress.rate:,.0f} messages/s")
        elif self._live is not None:
            self._begin(self._live, progress)
            _fill(self._live, self._producers, progress.num_put)
            _fill(self._live, self._consumers, progress.num_got)

    def _begin(self, bars: Progress, progress: "BenchProgress") -> None:
        """Begin with new bars in a new round."""
        shown = (progress.mode, progress.carrier, progress.number)
        if shown == self._shown:
            return
        self._shown = shown
        for task in (*self._producers, *self._consumers):
            bars.remove_task(task)
        config, title = self._config, _title(progress)
        each, total = config.num_messages, config.num_total
        self._producers = _add(bars, title, "producer", config.num_producers, each)
        # What a consumer's share will be is not known.
        share = -(-total // config.num_consumers)
        self._consumers = _add(bars, title, "consumer", config.num_consumers, share)

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, highlight=False)
        else:
            write_line(line)


def show_bench(report: "BenchReport", *, to_stderr: bool) -> None:
    """Show a report as tables: all cases side by side, then who did what in each."""
    console = Console(stderr=to_stderr, highlight=False)
    # A figure that is cut off is none; a narrow terminal wraps the line instead.
    console.width = max(console.width, _MIN_WIDTH)
    settings = report.settings
    console.print(
        f"{settings.num_producers} x {settings.num_consumers}, "
        f"{settings.num_messages:,} messages of each producer, {settings.payload} of "
        f"{settings.payload_nbytes:,} bytes",
        style="bold",
    )
    if not report.cases:
        console.print("ended before anything was measured")
        return
    console.print(_summary(report))
    for case in report.cases:
        console.print(f"{case.mode}, {_CARRIERS[case.carrier]}", style="bold")
        console.print(_members(case))
    console.print(
        "latency in milliseconds, from put to get; CPU of a process for each message",
        style="dim",
    )
    if report.interrupted:
        console.print("ended early: this is what was measured until then")


def _summary(report: "BenchReport") -> Table:
    table = _table("mode", "through", "messages/s", "GB/s", *_LATENCIES)
    for case in report.cases:
        table.add_row(
            case.mode,
            _CARRIERS[case.carrier],
            *_rates(case.messages_per_second, case.bytes_per_second),
            *_latencies(case.latency),
        )
        if case.carrier == "kernel":
            _add_ratios(table, report, case)
    return table


def _add_ratios(table: Table, report: "BenchReport", kernel: "CaseReport") -> None:
    """Say how many times the better shared memory is."""
    for case in report.cases:
        if case.mode != kernel.mode or case.carrier != "shm":
            continue
        if case.latency is None or kernel.latency is None:
            continue
        faster = case.messages_per_second / max(kernel.messages_per_second, 1e-9)
        pairs = zip(_values(kernel.latency), _values(case.latency), strict=True)
        table.add_row(
            "",
            "times better",
            *(f"{faster:.1f}x" for _ in range(2)),
            *(f"{ours / max(theirs, 1e-9):.1f}x" for ours, theirs in pairs),
            style="dim",
        )


def _members(case: "CaseReport") -> Table:
    table = _table("", "messages", "messages/s", "GB/s", "CPU us", *_LATENCIES)
    parts = (("producer", case.producers), ("consumer", case.consumers))
    for name, members in parts:
        for member in members:
            _add_member(table, f"{name} {member.index}", member)
    return table


def _add_member(table: Table, name: str, member: "MemberFigures") -> None:
    table.add_row(
        name,
        f"{member.messages:,}",
        *_rates(member.messages_per_second, member.bytes_per_second),
        f"{member.cpu_us_per_message:,.1f}",
        *_latencies(member.latency),
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        is_name = number == 0 or heading == "through"
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=True)
    return table


def _rates(messages: float, nbytes: float) -> tuple[str, str]:
    return f"{messages:,.0f}", f"{nbytes / _GIGABYTE:,.3f}"


def _latencies(found: "Distribution | None") -> list[str]:
    if found is None:
        return ["-"] * len(_LATENCIES)
    return [
        f"{value:.3f}" if value < 1 else milliseconds(value) for value in _values(found)
    ]


def _values(found: "Distribution") -> tuple[float, ...]:
    return found.mean, found.min, found.p50, found.p95, found.p99, found.max


def _title(progress: "BenchProgress") -> str:
    title = f"{progress.mode}, {_CARRIERS[progress.carrier]}"
    if progress.num_rounds > 1:
        title += f", round {progress.number} of {progress.num_rounds}"
    return title


def _add(bars: Progress, title: str, name: str, count: int, each: int) -> list[TaskID]:
    if count > _MAX_BARS:
        return [bars.add_task(f"{title}: {count} {name}s", total=count * each)]
    return [
        bars.add_task(f"{title}: {name} {index}", total=each) for index in range(count)
    ]


def _fill(bars: Progress, tasks: list[TaskID], counts: list[int]) -> None:
    shown = counts if len(tasks) == len(counts) else [sum(counts)]
    for task, count in zip(tasks, shown, strict=True):
        bars.update(task, completed=count)
