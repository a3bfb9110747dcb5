"""``busduct sweep``."""

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
)
from busduct.cli._outputs import require_writable, write_json
from busduct.cli._run import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    errors_as_messages,
    run_command,
)

if TYPE_CHECKING:
    from busduct.endpoint.load import LoadSweep

__all__ = ["sweep"]

_DEFAULT_SECONDS = 5.0
_FORMS = "N, N,M,..., LOW:HIGH or LOW:HIGH:STEP"


def sweep(
    *,
    url: Url,
    workers: Annotated[
        str | None, typer.Option(help=f"Processes that send: {_FORMS}.")
    ] = None,
    connections: Annotated[
        str | None, typer.Option(help=f"Connections of all of them: {_FORMS}.")
    ] = None,
    input_len: Annotated[
        str | None, typer.Option(help=f"Words of a made-up prompt: {_FORMS}.")
    ] = None,
    api: Api = "openai",
    model: Model = None,
    dataset: Dataset = None,
    output_len: OutputLengths = None,
    rate: Rate = "max",
    arrival: Arrival = "poisson",
    concurrency: Concurrency = None,
    requests: Requests = None,
    duration: Duration = None,
    warmup: Warmup = 0,
    stream: Stream = True,
    timeout: Timeout = 600.0,
    seed: Seed = 0,
    api_key_file: ApiKeyFile = None,
    insecure: Insecure = False,
    ca_file: CaFile = None,
    json: JsonFile = None,
    plot: Plot = None,
) -> None:
    """Run a short load for each of several settings, and compare.

    Five seconds each if neither --requests nor --duration is given.
    Every combination of the numbers given is run.
    """
    with errors_as_messages():
        from busduct.endpoint.load import LoadSweep, parse_numbers

        config = make_config(
            url=url,
            api=api,
            model=model,
            dataset=dataset,
            output_len=output_len,
            rate=rate,
            arrival=arrival,
            concurrency=concurrency,
            requests=requests,
            duration=duration,
            default_duration=_DEFAULT_SECONDS,
            num_warmup=warmup,
            stream=stream,
            timeout=timeout,
            seed=seed,
            api_key_file=api_key_file,
            insecure=insecure,
            ca_file=ca_file,
        )
        numbers = [
            [] if text is None else parse_numbers(text)
            for text in (workers, connections, input_len)
        ]
        runs = LoadSweep(
            config, workers=numbers[0], connections=numbers[1], input_lengths=numbers[2]
        )
    raise typer.Exit(run_command(lambda: _sweep(runs, json, plot)))


async def _sweep(runs: "LoadSweep", json: str | None, plot: Path | None) -> int:
    from busduct.cli._sweep_view import show_point, show_sweep
    from busduct.endpoint.load import plot_sweep, require_plots

    require_writable(json=json, plot=plot)
    if plot is not None:
        require_plots()
    runs.on_point = show_point
    report = await stopped_by_signals(runs.run(), runs.stop)
    if report is None:
        return EXIT_INTERRUPTED
    show_sweep(report, to_stderr=json == "-")
    if json is not None:
        write_json(report.to_json(), json)
    if plot is not None:
        plot_sweep(report, plot)
    if report.interrupted:
        return EXIT_INTERRUPTED
    any_well = any(point.report.requests.completed for point in report.points)
    return 0 if any_well else EXIT_FAILURE
