"""``busduct key``: make a key for TCP connections, and look whether one is sound."""

import os
from pathlib import Path
from typing import Annotated

import typer

from busduct.cli._run import errors_as_messages

__all__ = ["key_app"]

_DEFAULT_PATH = "busduct.key"

key_app = typer.Typer(
    no_args_is_help=True, help="Make and check the key that TCP peers share."
)


@key_app.command()
def new(
    path: Annotated[
        str | None,
        typer.Argument(
            help="File to write; - prints the key. Else $BUSDUCT_KEY_FILE, or "
            f"{_DEFAULT_PATH} here."
        ),
    ] = None,
) -> None:
    """Make a key, in a file that only you can read."""
    from busduct.transport._key import (
        KEY_FILE_VARIABLE,
        key_fingerprint,
        new_key,
        save_key,
    )

    if path == "-":
        typer.echo(new_key().hex())
        return
    target = Path(path or os.environ.get(KEY_FILE_VARIABLE) or _DEFAULT_PATH)
    with errors_as_messages():
        key = save_key(target)
    typer.echo(f"wrote key {key_fingerprint(key)} to {target}")
    typer.echo(
        "copy the file to every machine that takes part, by a safe way, and set "
        f"{KEY_FILE_VARIABLE} there"
    )


@key_app.command()
def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="File; else $BUSDUCT_KEY_FILE, or $BUSDUCT_KEY."),
    ] = None,
) -> None:
    """Tell whether a key can be used, and by which name to compare it."""
    from busduct.transport._key import key_fingerprint, load_key

    with errors_as_messages():
        key = load_key(path)
    typer.echo(f"key {key_fingerprint(key)} is sound")
