"""What the settings of the HTTP client may be, value by value."""

import logging
import math
import os
from typing import Any

from busduct.errors import ConfigError

__all__ = ["check_values", "class_path", "text_tuple"]

# The least that each may be. NB: -1 means automatic, where 0 would mean off or nothing.
INTEGERS = {
    "num_workers": -1,
    "warmup_connections": -1,
    "max_concurrent_warmup_connects": 1,
    "max_connections": -1,
    "min_required_connections": -1,
    "max_restarts": 0,
    "max_header_bytes": 1 << 10,
    "max_body_bytes": 1,
    "max_event_bytes": 1,
    "max_retries": 0,
    "max_queued": 1,
}
NEVER_ZERO = ("num_workers", "max_connections")
# Whether each may be 0; all are finite.
SECONDS = {
    "worker_initialization_timeout": False,
    "worker_graceful_shutdown_wait": True,
    "worker_force_kill_timeout": True,
    "max_idle_time": True,
    "request_timeout": False,
    "connect_timeout": False,
    "restart_window": False,
}
CHOICES = {
    "api_type": ("openai", "openai_completions", "sglang"),
    "worker_gc_mode": ("disabled", "relaxed", "system"),
    "routing": ("round_robin", "least_loaded"),
}
SWITCHES = ("stream_all_chunks", "insecure")


def check_values(values: dict[str, Any]) -> None:
    """Refuse what no setting may be, whatever the others are.

    Raises:
        ConfigError: A value of the wrong type or out of its range.
    """
    for name, least in INTEGERS.items():
        _check_integer(name, values[name], least)
    for name, may_be_zero in SECONDS.items():
        _check_seconds(name, values[name], may_be_zero)
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            msg = f"{name} is {values[name]!r}; it must be one of {', '.join(choices)}"
            raise ConfigError(msg)
    for name in SWITCHES:
        if not isinstance(values[name], bool):
            msg = f"{name} is {values[name]!r}; it must be True or False"
            raise ConfigError(msg)
    _check_fraction(values["auto_warmup_budget_fraction"])
    _check_log_level(values["log_level"])
    _check_key(values["api_key"])
    _check_file(values["ca_file"])


def text_tuple(name: str, values: Any) -> tuple[str, ...]:
    """Return a list of strings as a tuple.

    Raises:
        ConfigError: One string, or something that is no list of strings.
    """
    if isinstance(values, str) or not isinstance(values, list | tuple):
        msg = f"{name} is {values!r}; it must be a list of strings"
        raise ConfigError(msg)
    return tuple(values)


def class_path(name: str, given: Any) -> str:
    """Return ``"module:Class"`` for a class, so that a worker can import it.

    Raises:
        ConfigError: Neither a class nor such a string, or a class that another process
            would not find: of ``__main__``, or made inside a function.
    """
    path = given
    if isinstance(given, type):
        path = f"{given.__module__}:{given.__qualname__}"
    if not isinstance(path, str) or not all(path.partition(":")):
        msg = f'{name} is {given!r}; it must be a class, or "module:Class"'
        raise ConfigError(msg)
    if path.startswith("__main__:") or "<locals>" in path:
        msg = f"{name} is {path!r}, which worker processes cannot import"
        raise ConfigError(msg)
    return path


def _check_integer(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{name} is {value!r}; it must be an integer of at least {least}"
        raise ConfigError(msg)
    if value == 0 and name in NEVER_ZERO:
        msg = f"{name} is 0; it must be -1 (automatic) or at least 1"
        raise ConfigError(msg)


def _check_seconds(name: str, value: Any, may_be_zero: bool) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        msg = f"{name} is {value!r}; it must be a finite number of seconds"
        raise ConfigError(msg)
    if value == 0 and not may_be_zero:
        msg = f"{name} is 0; it must be more"
        raise ConfigError(msg)


def _check_fraction(value: Any) -> None:
    if not isinstance(value, int | float) or not 0 < value <= 1:
        msg = (
            f"auto_warmup_budget_fraction is {value!r}; "
            "it must be more than 0 and at most 1"
        )
        raise ConfigError(msg)


def _check_log_level(value: Any) -> None:
    if value not in logging.getLevelNamesMapping():
        msg = f"log_level is {value!r}; it must be a level of logging, such as INFO"
        raise ConfigError(msg)


def _check_key(value: Any) -> None:
    """Refuse a key that would not stay inside its header; its text is never shown."""
    if value is None:
        return
    if not isinstance(value, str) or not value:
        msg = "api_key must be a string that is not empty, or None"
        raise ConfigError(msg)
    if any(not "!" <= character <= "~" for character in value):
        msg = "api_key has characters that may not stand in a header"
        raise ConfigError(msg)


def _check_file(value: Any) -> None:
    if value is not None and not os.path.isfile(value):
        msg = f"ca_file is {value!r}; there is no such file"
        raise ConfigError(msg)
