"""Run a coroutine as a command: its loop, and its errors as messages and exit codes."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer

from busduct.errors import BusductError, ConfigError, RequestError

__all__ = [
    "EXIT_FAILURE",
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "errors_as_messages",
    "fail",
    "run_command",
]

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

T = TypeVar("T")


def run_command(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that `make` returns, on uvloop where it is installed."""
    with errors_as_messages():
        return _run_on_best_loop(make())


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn errors of this package into one line on standard error and an exit code.

    So are a missing extra and what the system refuses.
    """
    try:
        yield
    except (ConfigError, RequestError) as error:
        fail(str(error), EXIT_USAGE)
    except (BusductError, OSError) as error:
        fail(str(error), EXIT_FAILURE)
    except ImportError as error:
        # Ours name the extra that is missing; any other is a bug, and shows where.
        if "busduct[" not in str(error):
            raise
        fail(str(error), EXIT_FAILURE)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _run_on_best_loop(work: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(work)
    return uvloop.run(work)


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong on standard error and end with `code`."""
    sys.stdout.flush()
    typer.echo(f"busduct: error: {message}", err=True)
    raise typer.Exit(code)
