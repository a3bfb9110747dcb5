"""What the caller of a method may learn of an exception."""

import logging
import secrets

from busduct.errors import RpcError
from busduct.transport.rpc._wire import ErrorBody

__all__ = ["Faults"]

_log = logging.getLogger("busduct.rpc")


class Faults:
    """Turn exceptions of methods into errors for their callers.

    Attributes:
        num_internal: Exceptions that were kept from a caller.
    """

    def __init__(self, expose: tuple[type[Exception], ...]) -> None:
        self._exposed: tuple[type[Exception], ...] = (RpcError, *expose)
        self.num_internal = 0

    def describe(self, method: str, error: BaseException) -> ErrorBody:
        """Tell the type and text of an exception that was meant for the caller.

        Of any other one, tell an id, under which it is logged here.
        """
        if isinstance(error, self._exposed):
            try:
                return ErrorBody.of(type(error).__name__, str(error))
            except Exception as broken:
                error = broken
        return self._hide(method, error)

    def _hide(self, method: str, error: BaseException) -> ErrorBody:
        self.num_internal += 1
        incident = secrets.token_hex(6)
        _log.error("method %s failed, id %s", method, incident, exc_info=error)
        return ErrorBody("InternalError", f"internal error, id {incident}")
