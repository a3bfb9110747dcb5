"""``busduct bench``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from busduct.cli._interrupts import stopped_by_signals
from busduct.cli._load_options import JsonFile, Plot
from busduct.cli._outputs import require_writable, write_json
from busduct.cli._run import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    errors_as_messages,
    run_command,
)

if TYPE_CHECKING:
    from busduct.fmq.bench import BenchConfig, Carrier, Mode

__all__ = ["bench_app"]

bench_app = typer.Typer(
    no_args_is_help=True, help="Measure this machine with what busduct is made of."
)

_MODES: dict[str, tuple["Mode", ...]] = {
    "burst": ("burst",),
    "paced": ("paced",),
    "both": ("burst", "paced"),
}
_CARRIERS: dict[str, tuple["Carrier", ...]] = {
    "on": ("shm",),
    "off": ("kernel",),
    "both": ("shm", "kernel"),
}


# What settings are called here, where that may be refused.
_OPTIONS = {
    "num_producers": "--producers",
    "num_consumers": "--consumers",
    "num_messages": "--messages",
    "payload_nbytes": "--payload-size",
    "shm_threshold": "--threshold",
    "rate": "--rate",
    "num_rounds": "--rounds",
    "num_warmup": "--warmup",
    "timeout": "--timeout",
}


@bench_app.callback()
def bench() -> None:
    """Measure this machine with what busduct is made of."""


@bench_app.command()
def fmq(
    *,
    producers: Annotated[int, typer.Option(help="Processes that put.")] = 1,
    consumers: Annotated[int, typer.Option(help="Processes that get.")] = 1,
    messages: Annotated[
        int, typer.Option(help="Of each producer, in each round.")
    ] = 1000,
    payload_size: Annotated[
        str, typer.Option(help="Bytes of a message: N, NKiB, NMiB or NGiB.")
    ] = "1MiB",
    payload: Annotated[
        Literal["bytes", "dict", "array"],
        typer.Option(help="What is put; a dict holds the bytes, an array is in one."),
    ] = "bytes",
    views: Annotated[
        bool, typer.Option("--views", help="Get bytes as views, which copies nothing.")
    ] = False,
    threshold: Annotated[
        str, typer.Option(help="shm_threshold of a put, as --payload-size.")
    ] = "1MiB",
    mode: Annotated[
        Literal["burst", "paced", "both"],
        typer.Option(help="As fast as can be, or --rate."),
    ] = "both",
    rate: Annotated[
        float, typer.Option(help="Messages per second of each producer, when paced.")
    ] = 500.0,
    shm: Annotated[
        Literal["on", "off", "both"],
        typer.Option(help="Through shared memory, through the kernel, or each."),
    ] = "both",
    rounds: Annotated[
        int, typer.Option(help="How often each is measured, in turn.")
    ] = 1,
    warmup: Annotated[
        int, typer.Option(help="Messages before, which are compared and do not count.")
    ] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds that a round may take.")] = (
        120.0
    ),
    json: JsonFile = None,
    plot: Plot = None,
) -> None:
    """Measure a queue between processes: messages per second, and latency.

    In a burst, messages are put as fast as can be, and their latency is that of the
    queue which they make. Paced, it is that of one message. Ctrl-C ends it early, with
    a report of what was measured.
    """
    with errors_as_messages(), _settings_as_options():
        from busduct.fmq.bench import BenchConfig

        config = BenchConfig(
            num_producers=producers,
            num_consumers=consumers,
            num_messages=messages,
            payload_nbytes=_parse_size("--payload-size", payload_size),
            payload=payload,
            views=views,
            shm_threshold=_parse_size("--threshold", threshold),
            modes=_MODES[mode],
            rate=rate,
            carriers=_CARRIERS[shm],
            num_rounds=rounds,
            num_warmup=warmup,
            timeout=timeout,
        )
    raise typer.Exit(run_command(lambda: _bench(config, json, plot)))


async def _bench(config: "BenchConfig", json: str | None, plot: Path | None) -> int:
    from busduct._figures import require_plots
    from busduct.cli._bench_view import BenchView, show_bench
    from busduct.fmq.bench import BenchRun, plot_bench

    # Before the run: to learn of it afterwards would be late.
    require_writable(json=json, plot=plot)
    if plot is not None:
        require_plots()
    with BenchView(config) as view:
        run = BenchRun(config, on_progress=view.show)
        report = await stopped_by_signals(run.run(), run.stop)
    if report is None:
        return EXIT_INTERRUPTED
    # Standard output belongs to whoever reads the JSON.
    show_bench(report, to_stderr=json == "-")
    if json is not None:
        write_json(report.to_json(), json)
    if plot is not None and report.cases:
        plot_bench(report, plot)
    if report.interrupted:
        return EXIT_INTERRUPTED
    return 0 if report.cases else EXIT_FAILURE


@contextmanager
def _settings_as_options() -> Iterator[None]:
    """Have errors of settings name the options that they were given by."""
    from busduct.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        name, _, rest = str(error).partition(" ")
        if name not in _OPTIONS:
            raise
        raise ConfigError(f"{_OPTIONS[name]} {rest}") from error


def _parse_size(name: str, text: str) -> int:
    """Return a number of bytes.

    Raises:
        ConfigError: It is none.
    """
    from busduct.errors import ConfigError

    units = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
    number, factor = text.strip(), 1
    for unit, nbytes in units.items():
        if number.lower().endswith(unit.lower()):
            number, factor = number[: -len(unit)].strip(), nbytes
            break
    if not (number.isascii() and number.isdecimal() and len(number) <= 15):
        msg = f"{name} is {text!r}; it must be a number of bytes: N, NKiB, NMiB or NGiB"
        raise ConfigError(msg)
    return int(number) * factor
