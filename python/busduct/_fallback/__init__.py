"""The transport in pure Python: the same classes as the native backend."""

from busduct._fallback._context import Context
from busduct._fallback._options import DEALER, PULL, PUSH, ROUTER
from busduct._fallback._socket import Socket

__all__ = ["BACKEND", "DEALER", "PULL", "PUSH", "ROUTER", "Context", "Socket"]

BACKEND = "python"
