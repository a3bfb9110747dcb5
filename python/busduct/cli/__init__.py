"""The command line: ``busduct serve``, ``busduct generate`` (extra ``cli``)."""

from busduct.cli._main import main

__all__ = ["main"]
