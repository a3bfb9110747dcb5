"""Methods that a class answers to as one made without arguments would."""

from collections.abc import Callable
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

__all__ = ["of_class_or_instance"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class of_class_or_instance(Generic[T, P, R]):  # noqa: N801
    """Decorate a method so that `Class.method()` does what `Class().method()` does."""

    def __init__(self, function: Callable[Concatenate[T, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: T | None, owner: Any) -> Callable[P, R]:
        """Bind to the instance, or to a fresh one."""
        return MethodType(self._function, owner() if instance is None else instance)
