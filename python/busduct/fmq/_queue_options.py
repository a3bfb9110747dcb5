"""The options of one queue: what the settings say, and then its caller."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from busduct.errors import ConfigError
from busduct.fmq._config import SocketOptions
from busduct.fmq._config_checks import check_fields, check_keys
from busduct.fmq._options import QueueOptions

__all__ = ["NO_MARK", "queue_options"]

# Sockets and consumers have no way to say that there is none.
NO_MARK = (1 << 31) - 1

_AT_LEAST_ONE = (
    "hwm_messages",
    "hwm_bytes",
    "prefetch_messages",
    "prefetch_bytes",
    "max_message_bytes",
)
_AT_LEAST_ZERO = ("send_buffer_bytes", "recv_buffer_bytes")


def queue_options(
    given: SocketOptions, copy: bool, overrides: Mapping[str, Any]
) -> QueueOptions:
    """Return the options that settings give, with those of the caller in their place.

    Raises:
        ConfigError: An override that is not known, of another type or out of its range.
    """
    values: dict[str, Any] = {
        "hwm_messages": given.sndhwm or NO_MARK,
        "prefetch_messages": given.rcvhwm or NO_MARK,
        "linger": None if given.linger < 0 else given.linger / 1000,
        "send_buffer_bytes": given.sndbuf,
        "recv_buffer_bytes": given.rcvbuf,
        "immediate": bool(given.immediate),
        "copy": copy,
    }
    check_keys(overrides, QueueOptions.__struct_fields__, "")
    options = QueueOptions(**{**values, **overrides})
    check_fields(options)
    _check_ranges(options)
    return options


def _check_ranges(options: QueueOptions) -> None:
    values = msgspec.structs.asdict(options)
    for least, names in ((1, _AT_LEAST_ONE), (0, _AT_LEAST_ZERO)):
        for name in names:
            if values[name] < least:
                msg = f"{name} is {values[name]}; it must be at least {least}"
                raise ConfigError(msg)
    linger = options.linger
    if linger is not None and not (math.isfinite(linger) and linger >= 0):
        msg = f"linger is {linger}; it must be a number of seconds, or None for no end"
        raise ConfigError(msg)
