"""The message fabric of LLM inference services."""

from busduct._version import __version__

__all__ = ["__version__"]
