"""``busduct load``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from busduct.cli._interrupts import stopped_by_signals
from busduct.cli._load_options import (
    Api,
    ApiKeyFile,
    Arrival,
    CaFile,
    Concurrency,
    Dataset,
    Duration,
    Insecure,
    JsonFile,
    Model,
    OutputLengths,
    Plot,
    Rate,
    Requests,
    Seed,
    Stream,
    Timeout,
    Url,
    Warmup,
    make_config,
    parse_lengths,
)
from busduct.cli._outputs import require_writable, write_json
from busduct.cli._run import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    errors_as_messages,
    run_command,
)

if TYPE_CHECKING:
    from busduct.endpoint.load import LoadConfig, LoadReport

__all__ = ["load"]

_DEFAULT_SECONDS = 10.0


def load(
    *,
    url: Url,
    api: Api = "openai",
    model: Model = None,
    dataset: Dataset = None,
    input_len: Annotated[
        str,
        typer.Option(
            help="Words of a made-up prompt: N, uniform:LOW:HIGH or "
            "normal:MEAN:DEVIATION."
        ),
    ] = "128",
    output_len: OutputLengths = None,
    rate: Rate = "max",
    arrival: Arrival = "poisson",
    concurrency: Concurrency = None,
    requests: Requests = None,
    duration: Duration = None,
    warmup: Warmup = 0,
    workers: Annotated[int | None, typer.Option(help="Processes that send.")] = None,
    connections: Annotated[
        int | None, typer.Option(help="Connections at most, of all of them.")
    ] = None,
    stream: Stream = True,
    timeout: Timeout = 600.0,
    seed: Seed = 0,
    api_key_file: ApiKeyFile = None,
    insecure: Insecure = False,
    ca_file: CaFile = None,
    json: JsonFile = None,
    plot: Plot = None,
) -> None:
    """Send requests to an inference endpoint, and report how it does.

    It takes ten seconds if neither --requests nor --duration is given.
    Ctrl-C ends it early, with a report of what was measured.
    """
    with errors_as_messages():
        config = make_config(
            url=url,
            api=api,
            model=model,
            dataset=dataset,
            input_lengths=parse_lengths(input_len),
            output_len=output_len,
            rate=rate,
            arrival=arrival,
            concurrency=concurrency,
            requests=requests,
            duration=duration,
            default_duration=_DEFAULT_SECONDS,
            num_warmup=warmup,
            num_workers=workers,
            num_connections=connections,
            stream=stream,
            timeout=timeout,
            seed=seed,
            api_key_file=api_key_file,
            insecure=insecure,
            ca_file=ca_file,
        )
    raise typer.Exit(run_command(lambda: _load(config, json, plot)))


async def _load(config: "LoadConfig", json: str | None, plot: Path | None) -> int:
    from busduct.cli._load_view import ProgressView, show_report
    from busduct.endpoint.load import LoadRun, plot_report, require_plots

    # Before the run: to learn of it afterwards would be late.
    require_writable(json=json, plot=plot)
    if plot is not None:
        require_plots()
    with ProgressView() as view:
        run = LoadRun(config, on_progress=view.show, progress_interval=view.interval)
        report = await stopped_by_signals(run.run(), run.stop)
    if report is None:
        return EXIT_INTERRUPTED
    # Standard output belongs to whoever reads the JSON.
    show_report(report, to_stderr=json == "-")
    if json is not None:
        write_json(report.to_json(), json)
    if plot is not None:
        plot_report(report, plot)
    return _exit_code(report)


def _exit_code(report: "LoadReport") -> int:
    if report.interrupted:
        return EXIT_INTERRUPTED
    return 0 if report.requests.completed else EXIT_FAILURE
