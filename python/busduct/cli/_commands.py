"""The commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

from busduct import __version__
from busduct.cli._bench import bench_app
from busduct.cli._echo import echo_server
from busduct.cli._key import key_app
from busduct.cli._load import load
from busduct.cli._run import run_command
from busduct.cli._sweep import sweep

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    # A rich traceback shows local variables, an API key among them.
    pretty_exceptions_enable=False,
)

app.add_typer(bench_app, name="bench")
app.add_typer(key_app, name="key")
app.command()(echo_server)
app.command()(load)
app.command()(sweep)

ModelPath = Annotated[
    Path | None,
    typer.Option(
        exists=True, file_okay=False, help="Directory of a model; else the embedded."
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"busduct {__version__}")
        raise typer.Exit


@app.callback()
def busduct(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show it and exit."
        ),
    ] = False,
) -> None:
    """Serve a language model from processes joined by busduct's transport."""


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 lets the system choose.")
    ] = 8000,
    model: ModelPath = None,
    model_name: Annotated[str | None, typer.Option(help="What clients call it.")] = (
        None
    ),
    runner: Annotated[
        str | None, typer.Option(help="What computes, as module:Class; else numpy.")
    ] = None,
    max_batch_size: Annotated[
        int, typer.Option(min=1, help="Requests that run at once.")
    ] = 16,
    max_waiting: Annotated[
        int, typer.Option(min=0, help="Requests that wait for a place in the batch.")
    ] = 1024,
    drain_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to finish at Ctrl-C or SIGTERM.")
    ] = 30.0,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="0600 file with the key that clients must send; else "
            "$BUSDUCT_API_KEY, if set."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without a key.")
    ] = False,
) -> None:
    """Serve OpenAI's HTTP interface until Ctrl-C or SIGTERM."""
    from busduct.cli._serve import ServeOptions, serve_until_signal

    options = ServeOptions(
        host=host,
        port=port,
        model=model,
        model_name=model_name,
        runner=runner,
        max_batch_size=max_batch_size,
        max_waiting=max_waiting,
        drain_timeout=drain_timeout,
        api_key_file=api_key_file,
        insecure=insecure,
    )
    raise typer.Exit(run_command(lambda: serve_until_signal(options)))


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to go on from; - reads stdin.")],
    *,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens at most.")] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0 takes the likeliest token.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Sample from the likeliest part.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes a run repeatable.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text that ends it; may be repeated.")
    ] = None,
    model: ModelPath = None,
) -> None:
    """Stream the continuation of a text to the terminal."""
    from busduct.cli._generate import GenerateOptions, generate_to_terminal

    options = GenerateOptions(
        prompt=prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=tuple(stop or ()),
        model=model,
    )
    raise typer.Exit(run_command(lambda: generate_to_terminal(options)))
