"""What either end of a broadcast queue owns, and how it is given back."""

import warnings
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct._scopes import AsyncScope, Scope

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Closing"]

_backend = load_backend()


class Closing(Scope, AsyncScope):
    """An end that is closed by call or by a `with` block, and warns if it was not.

    Args:
        context: The caller's; None for one of its own, which is closed with it.
    """

    def __init__(self, context: "Context | None") -> None:
        self._is_closed = False
        self._is_owner = context is None
        self._context: Context = _backend.Context() if context is None else context

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2)

    def _close_context(self) -> None:
        self._is_closed = True
        if self._is_owner:
            self._context.close()
