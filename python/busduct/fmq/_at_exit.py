"""What is called when the process ends, whichever way Python lets it end."""

import atexit
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["AtExit"]


class AtExit:
    """Has `function` called when the process ends, while other threads still run.

    NB: a process of `multiprocessing` ends without what `atexit` was given.

    Args:
        function: Without arguments; called once or more often.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._finalizer: Any = None
        self._is_registered = False

    def register(self) -> None:
        """Have it called. Idempotent."""
        if self._is_registered:
            return
        self._is_registered = True
        atexit.register(self._function)
        # Only who was started by that module has imported it, and need be told there.
        if (util := sys.modules.get("multiprocessing.util")) is not None:
            self._finalizer = util.Finalize(None, self._function, exitpriority=1)

    def unregister(self) -> None:
        """Do not have it called any more. Idempotent."""
        if not self._is_registered:
            return
        self._is_registered = False
        atexit.unregister(self._function)
        if self._finalizer is not None:
            self._finalizer.cancel()
            self._finalizer = None
