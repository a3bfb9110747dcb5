"""``busduct serve``."""

import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from busduct.cli._run import EXIT_FAILURE, EXIT_INTERRUPTED

__all__ = ["ServeOptions", "serve_until_signal"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The command's options, as given."""

    host: str
    port: int
    model: Path | None
    model_name: str | None
    runner: str | None
    max_batch_size: int
    max_waiting: int
    drain_timeout: float
    api_key_file: Path | None
    insecure: bool


async def serve_until_signal(options: ServeOptions) -> int:
    """Serve until a signal; return the exit code.

    Raises:
        BusductError: The service cannot be started as asked.
        ImportError: An extra is missing; the text names it.
    """
    from busduct.pipeline import Engine, EngineConfig
    from busduct.server import ServeOutcome, ServerConfig, load_api_key, serve

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(_is_not_a_cut_off)
    config = ServerConfig(
        host=options.host,
        port=options.port,
        api_key=load_api_key(options.api_key_file),
        insecure=options.insecure,
        drain_timeout=options.drain_timeout,
    )
    engine_config = EngineConfig(
        model_path=None if options.model is None else str(options.model),
        model_name=options.model_name,
        max_batch_size=options.max_batch_size,
        max_waiting=options.max_waiting,
    )
    if options.runner is not None:
        engine_config = msgspec.structs.replace(engine_config, runner=options.runner)
    engine = Engine(engine_config)

    def announce(url: str) -> None:
        sys.stdout.write(f"busduct serves {engine.model_name} at {url}\n")
        sys.stdout.flush()

    outcome = await serve(engine, config, on_ready=announce)
    return {
        ServeOutcome.DRAINED: 0,
        ServeOutcome.CUT_OFF: EXIT_FAILURE,
        ServeOutcome.FORCED: EXIT_INTERRUPTED,
    }[outcome]


def _is_not_a_cut_off(record: logging.LogRecord) -> bool:
    """Tell bugs from the requests that a second signal cut off, as it was asked to."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)
