"""The options that ``busduct load`` and ``busduct sweep`` share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from busduct.cli._run import EXIT_USAGE, fail

if TYPE_CHECKING:
    from busduct.endpoint.load import Lengths, LoadConfig

__all__ = [
    "Api",
    "ApiKeyFile",
    "Arrival",
    "CaFile",
    "Concurrency",
    "Dataset",
    "Duration",
    "Insecure",
    "JsonFile",
    "Model",
    "OutputLengths",
    "Plot",
    "Rate",
    "Requests",
    "Seed",
    "Stream",
    "Timeout",
    "Url",
    "Warmup",
    "make_config",
    "parse_lengths",
]

Url = Annotated[
    str, typer.Option(help="Of the endpoint: http://host:port, or the whole route.")
]
Api = Annotated[
    Literal["openai", "openai-completions", "sglang"],
    typer.Option(help="How to speak to it; openai is its chat."),
]
Model = Annotated[
    str | None, typer.Option(help="What requests name; else the first it lists.")
]
Dataset = Annotated[
    Path | None,
    typer.Option(
        help="JSON lines with prompt, messages or text, sent in turn; other fields go "
        "along."
    ),
]
OutputLengths = Annotated[
    str | None,
    typer.Option(
        "--output-len",
        help="Tokens of an answer at most; as --input-len. Else its own.",
    ),
]
Rate = Annotated[
    str, typer.Option(help="Requests per second; max sends the next when one ended.")
]
Arrival = Annotated[
    Literal["poisson", "constant"], typer.Option(help="How a rate is spread over time.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        help="Requests under way at most; what is due beyond waits, and that counts. "
        "Else 64 without a rate."
    ),
]
Requests = Annotated[int | None, typer.Option(help="How many to send.")]
Duration = Annotated[float | None, typer.Option(help="Seconds to send for.")]
Warmup = Annotated[int, typer.Option(help="Requests before, which do not count.")]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream/--no-stream", help="Ask for streams; TTFT, TPOT and ITL need them."
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds until a request has failed.")]
Seed = Annotated[int, typer.Option(help="Of arrivals and made-up prompts.")]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="0600 file with the key to send; else $BUSDUCT_API_KEY, if set."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Trust any certificate of the endpoint.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="PEM certificates to trust, not the system's."
    ),
]
JsonFile = Annotated[
    str | None,
    typer.Option("--json", help="File for the report as JSON; - writes it to stdout."),
]
Plot = Annotated[
    Path | None, typer.Option(help="PNG file for pictures of it; needs the extra plot.")
]


def make_config(
    *,
    api: str,
    rate: str,
    output_len: str | None,
    requests: int | None,
    duration: float | None,
    default_duration: float,
    api_key_file: Path | None,
    ca_file: Path | None,
    **others: Any,
) -> "LoadConfig":
    """Return what the options come to.

    Raises:
        ConfigError: A value that cannot be.
        AuthError: A key file that others can read.
        ImportError: An extra is missing; the text names it.
    """
    from busduct._api_key import load_api_key
    from busduct.endpoint.load import LoadConfig

    if requests is None and duration is None:
        duration = default_duration
    return LoadConfig(
        api=api.replace("-", "_"),  # type: ignore[arg-type]
        rate=_parse_rate(rate),
        output_lengths=None if output_len is None else parse_lengths(output_len),
        num_requests=requests,
        duration=duration,
        api_key=load_api_key(api_key_file),
        ca_file=None if ca_file is None else str(ca_file),
        **others,
    )


def parse_lengths(text: str) -> "Lengths":
    """Return the distribution of lengths that an option gives.

    Raises:
        ConfigError: It is none.
    """
    from busduct.endpoint.load import Lengths

    return Lengths.parse(text)


def _parse_rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        fail(f"rate {text!r} is neither a number nor max", EXIT_USAGE)
