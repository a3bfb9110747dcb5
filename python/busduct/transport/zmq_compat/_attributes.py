"""Options as attributes: `socket.linger = 0`."""

import inspect
from typing import Any

from busduct.transport.zmq_compat import constants
from busduct.transport.zmq_compat.constants import ContextOption, Errno, SocketOption
from busduct.transport.zmq_compat.error import ZMQError

__all__ = ["OptionAttributes"]


class OptionAttributes:
    """Give what is no attribute of the class to `set` and `get`."""

    def set(self, option: int, value: Any) -> None:
        """Set an option."""
        raise NotImplementedError

    def get(self, option: int) -> Any:
        """Return the value of an option."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name in self.__dict__ or _is_declared(self, name):
            object.__setattr__(self, name, value)
        else:
            self.set(_option(self, name), value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.get(_option(self, name))
        except ZMQError as error:
            if error.errno != Errno.EINVAL:
                raise
            raise AttributeError(str(error)) from error


def _is_declared(self: object, name: str) -> bool:
    return any(
        name in cls.__dict__ or name in inspect.get_annotations(cls)
        for cls in type(self).__mro__
    )


def _option(self: object, name: str) -> SocketOption | ContextOption:
    option = getattr(constants, name.upper(), None)
    if isinstance(option, SocketOption | ContextOption):
        return option
    msg = f"{type(self).__name__} has no attribute and no option {name!r}"
    raise AttributeError(msg)
