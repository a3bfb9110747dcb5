"""The methods of a server, and the types of their parameters."""

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from busduct.errors import ConfigError
from busduct.transport.rpc._wire import MAX_METHOD_LENGTH, decode, make_decoder

__all__ = ["Method", "MethodTable", "rpc_method"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__busduct_rpc__"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class _Mark(NamedTuple):
    name: str | None
    timeout: float | None


def rpc_method(
    function: F | None = None, *, name: str | None = None, timeout: float | None = None
) -> Any:
    """Mark a method of a class, for `RpcServer.add_object`.

    Args:
        function: When used without parentheses.
        name: What callers say; None for the method's own name.
        timeout: Seconds that a call may take; None for no bound.
    """

    def mark(marked: F) -> F:
        setattr(marked, _MARK, _Mark(name, timeout))
        return marked

    return mark if function is None else mark(function)


class Method:
    """One function that callers may name.

    Attributes:
        name: What callers say.
        function: What is called, with keywords only.
        is_async: Whether the call gives an awaitable.
        timeout: Seconds that a call may take; None for no bound.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], timeout: float | None
    ) -> None:
        if not 0 < len(name) <= MAX_METHOD_LENGTH:
            msg = f"method name of {len(name)} characters; 1 to {MAX_METHOD_LENGTH}"
            raise ConfigError(msg)
        if timeout is not None and not timeout > 0:
            msg = f"timeout of method {name} is {timeout!r}; it is more than 0 s"
            raise ConfigError(msg)
        self.name = name
        self.function = function
        self.timeout = timeout
        self.is_async = _is_async(function)
        self._decoder = make_decoder(_parameters_type(name, function))

    def arguments(self, parameters: msgspec.Raw) -> dict[str, Any]:
        """Decode and check the parameters of a call.

        Raises:
            msgspec.DecodeError: Malformed, missing, unknown, or of another type.
        """
        decoded = decode(self._decoder, parameters)
        return {
            field: value
            for field in decoded.__struct_fields__
            if (value := getattr(decoded, field)) is not msgspec.UNSET
        }


def _is_async(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _parameters_type(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """Make the struct whose fields are the parameters of a function."""
    try:
        signature = inspect.signature(function, eval_str=True)
        fields = [_field(p) for p in signature.parameters.values()]
        # Compiled here, so that a type that cannot be decoded is known at once.
        struct = msgspec.defstruct(
            "Parameters", fields, kw_only=True, forbid_unknown_fields=True
        )
        make_decoder(struct)
    except (TypeError, NameError, ValueError) as error:
        msg = f"method {name} cannot be called remotely: {error}"
        raise ConfigError(msg) from error
    return struct


def _field(parameter: inspect.Parameter) -> tuple[str, Any, Any]:
    if parameter.kind not in _BY_NAME:
        msg = f"parameter {parameter} cannot be given by name"
        raise TypeError(msg)
    if parameter.annotation is parameter.empty:
        msg = f"parameter {parameter.name} has no annotation"
        raise TypeError(msg)
    if parameter.default is parameter.empty:
        return parameter.name, parameter.annotation, msgspec.NODEFAULT
    # The function's own default is used, so the struct needs none of its own.
    optional: Any = typing.Union.__getitem__((parameter.annotation, msgspec.UnsetType))
    return parameter.name, optional, msgspec.UNSET


class MethodTable:
    """Methods by name; nothing else can be called."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(
        self, function: Callable[..., Any], name: str | None, timeout: float | None
    ) -> None:
        """Add a function.

        Raises:
            ConfigError: The name is taken, or a parameter cannot be typed.
        """
        chosen = name or str(getattr(function, "__name__", ""))
        if chosen in self._methods:
            msg = f"there is a method {chosen} already"
            raise ConfigError(msg)
        self._methods[chosen] = Method(chosen, function, timeout)

    def add_object(self, service: object, prefix: str) -> None:
        """Add the methods of an object that are marked by `rpc_method`.

        Raises:
            ConfigError: As of `add`, or none is marked.
        """
        marked = list(_marked_methods(service))
        if not marked:
            msg = f"{type(service).__name__} has no method marked by rpc_method"
            raise ConfigError(msg)
        for attribute, mark in marked:
            name = prefix + (mark.name or attribute)
            self.add(getattr(service, attribute), name, mark.timeout)

    def get(self, name: str) -> Method | None:
        """Return the method of that name, if there is one."""
        return self._methods.get(name)


def _marked_methods(service: object) -> Iterator[tuple[str, _Mark]]:
    # Of the class: reading attributes of the object would run its properties.
    for attribute in dir(type(service)):
        mark = getattr(inspect.getattr_static(service, attribute), _MARK, None)
        if isinstance(mark, _Mark):
            yield attribute, mark
