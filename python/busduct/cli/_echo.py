"""``busduct echo-server``."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from busduct.cli._run import run_command

if TYPE_CHECKING:
    from busduct.endpoint.echo import EchoConfig

__all__ = ["echo_server"]

Mode = Literal["max", "variable"]
Jitter = Literal["fixed", "uniform", "lognormal"]


def echo_server(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 lets the system choose.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Processes that share the port.")
    ] = 1,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="max: replies made beforehand, at once; variable: delays as below. "
            "Else variable where an option of it is given."
        ),
    ] = None,
    output_length: Annotated[
        int, typer.Option(min=1, help="Characters of an answer; each is a token.")
    ] = 160,
    stream_interval: Annotated[
        int, typer.Option(min=1, help="Characters per event of a streamed answer.")
    ] = 1,
    ttft_ms: Annotated[
        float, typer.Option(min=0, help="variable: to the first token, ms.")
    ] = 0.0,
    tpot_ms: Annotated[
        float, typer.Option(min=0, help="variable: from one token to the next, ms.")
    ] = 0.0,
    jitter: Annotated[
        Jitter, typer.Option(help="variable: distribution of both delays.")
    ] = "fixed",
    ttft_spread: Annotated[
        float,
        typer.Option(
            min=0,
            help="As part of the mean: half the width (uniform), standard deviation "
            "(lognormal).",
        ),
    ] = 0.2,
    tpot_spread: Annotated[float, typer.Option(min=0, help="As --ttft-spread.")] = 0.1,
    echo: Annotated[
        bool, typer.Option("--echo", help="variable: answer with the prompt.")
    ] = False,
    max_concurrency: Annotated[
        int, typer.Option(min=0, help="variable: served at once by a process; 0: all.")
    ] = 0,
    error_rate: Annotated[
        float, typer.Option(min=0, max=1, help="variable: part that fails.")
    ] = 0.0,
    error_status: Annotated[
        int, typer.Option(min=400, max=599, help="HTTP status of those.")
    ] = 503,
    seed: Annotated[
        int | None, typer.Option(help="variable: makes delays repeatable.")
    ] = None,
    model_name: Annotated[str, typer.Option(help="What replies name.")] = "echo",
    cert_file: Annotated[
        Path | None, typer.Option(help="PEM certificate chain; serves TLS.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="PEM key of it.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine.")
    ] = False,
) -> None:
    """Answer like an inference endpoint, to measure clients against."""

    def config() -> "EchoConfig":
        from busduct.endpoint.echo import Delay, EchoConfig

        def delay(mean_ms: float, spread: float) -> Delay:
            if not mean_ms:
                return Delay()
            return Delay(mean=mean_ms / 1e3, distribution=jitter, spread=spread)

        varies = ttft_ms or tpot_ms or echo or max_concurrency or error_rate
        return EchoConfig(
            host=host,
            port=port,
            insecure=insecure,
            mode=mode or ("variable" if varies else "max"),
            model=model_name,
            output_length=output_length,
            stream_interval=stream_interval,
            num_processes=workers,
            cert_file=None if cert_file is None else str(cert_file),
            key_file=None if key_file is None else str(key_file),
            echo=echo,
            ttft=delay(ttft_ms, ttft_spread),
            tpot=delay(tpot_ms, tpot_spread),
            seed=seed,
            max_concurrency=max_concurrency,
            error_rate=error_rate,
            error_status=error_status,
        )

    run_command(lambda: _serve_until_signal(config))


async def _serve_until_signal(make_config: Callable[[], "EchoConfig"]) -> None:
    from busduct.endpoint.echo import EchoServer

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with EchoServer(make_config()) as server:
        sys.stdout.write(f"busduct echo-server at {server.url}\n")
        sys.stdout.flush()
        stopped = asyncio.create_task(stopping.wait(), name="echo-server-stop")
        died = asyncio.create_task(server.wait_died(), name="echo-server-watch")
        await asyncio.wait((stopped, died), return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            stopped.cancel()
            await died
        died.cancel()
