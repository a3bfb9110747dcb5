"""What the settings of queues and topics may be, with errors that name the key."""

import difflib
from collections.abc import Iterable
from typing import Any

import msgspec

from busduct.errors import ConfigError

__all__ = ["MAX_NAME_NBYTES", "check_fields", "check_keys", "check_name", "nearest"]

MAX_NAME_NBYTES = 255


def check_fields(struct: msgspec.Struct) -> None:
    """Check each value against the type of its field.

    Raises:
        ConfigError: A value of another type, or out of its range.
    """
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            text = str(error)
            msg = f"{field.name} is {value!r}: {text[0].lower()}{text[1:]}"
            raise ConfigError(msg) from None


def check_keys(given: Iterable[Any], known: Iterable[str], path: str) -> None:
    """Refuse a key that is not known.

    Args:
        given: The keys.
        known: Those that may be given.
        path: What stands before them in the text of the error, with its last dot.

    Raises:
        ConfigError: One is not known.
    """
    names = list(known)
    for key in given:
        if key not in names:
            msg = f"{path}{key} is no setting; did you mean {nearest(key, names)!r}?"
            raise ConfigError(msg)


def check_name(name: Any) -> str:
    """Return the name of a queue or a topic, which is part of a file's name.

    Raises:
        ConfigError: It cannot be one.
    """
    if not isinstance(name, str) or not name or set(name) & {"/", "\0"}:
        msg = f"{name!r} is no name of a queue: text without '/' and zeros"
        raise ConfigError(msg)
    try:
        nbytes = len(name.encode())
    except UnicodeEncodeError as error:
        msg = f"{name!r} is no name of a queue: {error.reason}"
        raise ConfigError(msg) from error
    if nbytes > MAX_NAME_NBYTES:
        msg = f"name of a queue has {nbytes} bytes, the limit is {MAX_NAME_NBYTES}"
        raise ConfigError(msg)
    return name


def nearest(word: Any, names: Iterable[str]) -> str:
    """Return the one of some names that is most like a word."""
    return difflib.get_close_matches(str(word), list(names), n=1, cutoff=0.0)[0]
