"""``busduct generate``."""

import os
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import typer

__all__ = ["GenerateOptions", "generate_to_terminal"]


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """The command's options, as given."""

    prompt: str
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    model: Path | None


async def generate_to_terminal(options: GenerateOptions) -> int:
    """Write the continuation as it comes; return the exit code.

    A terminal shows the prompt in front of it; a pipe gets the continuation alone.

    Raises:
        RequestError: The prompt or an option is not one that can be served.
        BusductError: The engine did not start, or failed.
        ImportError: An extra is missing; the text names it.
    """
    from busduct.pipeline import Engine, EngineConfig, SamplingParams

    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    params = SamplingParams(
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop,
    )
    model = None if options.model is None else str(options.model)
    async with Engine(EngineConfig(model_path=model)) as engine:
        if sys.stdout.isatty():
            typer.secho(prompt, dim=True, nl=False)
        try:
            async with aclosing(engine.generate(prompt, params)) as pieces:
                async for piece in pieces:
                    sys.stdout.write(piece.text)
                    sys.stdout.flush()
            sys.stdout.write("\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has what it wanted (`| head`). Python would try to flush
            # again at exit, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
