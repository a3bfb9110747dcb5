"""Say which part of a payload cannot be sent, and what to do about it."""

import dataclasses
import enum
import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from busduct.errors import PayloadError
from busduct.fmq._payload._parts_out import UnencodableError

__all__ = ["payload_error"]

_ADVICE = "send a msgspec.Struct, a dataclass or a dict, or give enc_hook"
_MAX_KEY_CHARS = 40


def payload_error(data: Any, error: Exception) -> PayloadError:
    """Return what to raise of a payload that did not encode.

    Args:
        data: The payload.
        error: What was raised instead.
    """
    if isinstance(error, UnencodableError):
        culprit = error.value
        path = _path_to(data, lambda value: value is culprit)
        return PayloadError(path, _name_of(culprit), error.reason or _ADVICE)
    if isinstance(error, RecursionError):
        reason = "it holds itself, or is nested too deeply"
        return PayloadError("payload", _name_of(data), reason)
    if isinstance(error, OverflowError):
        path = _path_to(data, _is_beyond_64_bits)
        return PayloadError(path, "int", "send it as str, or as bytes")
    if isinstance(error, UnicodeEncodeError):
        path = _path_to(data, _is_no_utf_8)
        return PayloadError(path, "str", f"send it as bytes, for {error}")
    return PayloadError("payload", _name_of(data), str(error))


def _path_to(data: Any, is_it: Callable[[Any], bool]) -> str:
    """Return how to write the first value, by depth, that is it."""
    waiting = deque([("payload", data)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if is_it(value):
            return path
        if id(value) not in seen:
            seen.add(id(value))
            waiting.extend((path + step, inner) for step, inner in _steps_of(value))
    # It is in what a hook made, or in what a property gives.
    return "something in payload"


def _steps_of(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f".key({_shown(key)})", key
            yield f"[{_shown(key)}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield f".item({_shown(item)})", item
    elif isinstance(value, enum.Enum):
        yield ".value", value.value
    else:
        for name in _field_names_of(value):
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _field_names_of(value: Any) -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        yield from value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        yield from (field.name for field in dataclasses.fields(value))
    else:
        # Of attrs, which need not be installed.
        attributes = getattr(type(value), "__attrs_attrs__", ())
        yield from (attribute.name for attribute in attributes)


def _shown(key: Any) -> str:
    if isinstance(key, str):
        return json.dumps(key[:_MAX_KEY_CHARS])
    if isinstance(key, int | float | bytes):
        return repr(key)[:_MAX_KEY_CHARS]
    return f"<{_name_of(key)}>"


def _name_of(value: Any) -> str:
    return type(value).__name__


def _is_beyond_64_bits(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _is_no_utf_8(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
