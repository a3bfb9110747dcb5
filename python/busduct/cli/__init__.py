"""The command line: ``busduct serve``, ``busduct load`` and others (extra ``cli``)."""

from busduct.cli._main import main

__all__ = ["main"]
