"""The entry point, which can tell what is missing before it imports it."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        from busduct.cli._commands import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("busduct"):
            raise
        sys.exit(
            f"busduct: the command line needs {error.name}; "
            "install the extra 'cli': pip install 'busduct[cli]'"
        )
    app(prog_name="busduct")
