"""Choose the backend: the native extension, or its twin in pure Python."""

import importlib
import os
from types import ModuleType

from busduct.errors import ConfigError

__all__ = ["load_backend"]


def load_backend(name: str | None = None) -> ModuleType:
    """Return the module that holds `Context`, `Socket` and the socket kinds.

    Args:
        name: ``"rust"`` or ``"python"``; None reads ``BUSDUCT_BACKEND`` and, where that
            is unset, takes the extension if it is installed.

    Raises:
        ConfigError: Neither of the two.
        ImportError: The extension was asked for and is not installed.
    """
    chosen = name or os.environ.get("BUSDUCT_BACKEND") or "auto"
    if chosen == "python":
        return importlib.import_module("busduct._fallback")
    if chosen == "rust":
        return importlib.import_module("busduct._core")
    if chosen != "auto":
        msg = f"BUSDUCT_BACKEND is {chosen!r}; it may be 'rust' or 'python'"
        raise ConfigError(msg)
    try:
        return importlib.import_module("busduct._core")
    except ModuleNotFoundError:
        return importlib.import_module("busduct._fallback")
