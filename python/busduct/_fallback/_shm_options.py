"""What a context may be told of shared memory, of which this backend has none."""

import operator
import os
from typing import Final

from busduct.errors import ConfigError

__all__ = ["check_shm_options"]

_RING_BYTES: Final = range(4096, (16 << 20) + 1)
_MAX_SPIN_US: Final = 1_000_000
_MODE_VARIABLE: Final = "BUSDUCT_SHM"


def check_shm_options(shm: str, max_bytes: int, ring_bytes: int, spin_us: int) -> None:
    """Check them, though nothing comes of them.

    Raises:
        ConfigError: A value out of its range, or shared memory is required: Python has
            no atomic operations to make it with.
        TypeError: A value of another type.
    """
    if not isinstance(shm, str):
        msg = f"shm is a str, not {type(shm).__name__}"
        raise TypeError(msg)
    _check_mode("shm", shm)
    if shm == "auto":
        _check_mode(_MODE_VARIABLE, os.environ.get(_MODE_VARIABLE, shm))
    if operator.index(max_bytes) < 1:
        msg = f"shm_max_bytes is {max_bytes}; it must be at least 1"
        raise ConfigError(msg)
    if operator.index(ring_bytes) not in _RING_BYTES or ring_bytes.bit_count() != 1:
        msg = (
            f"shm_ring_bytes is {ring_bytes}; "
            f"it must be a power of two from {_RING_BYTES[0]} to {_RING_BYTES[-1]}"
        )
        raise ConfigError(msg)
    if not 0 <= operator.index(spin_us) <= _MAX_SPIN_US:
        msg = f"spin_us is {spin_us}; it must be from 0 to {_MAX_SPIN_US}"
        raise ConfigError(msg)


def _check_mode(name: str, mode: str) -> None:
    if mode == "require":
        msg = f'{name} is "require"; the pure-Python backend has no shared memory'
        raise ConfigError(msg)
    if mode not in {"auto", "off"}:
        msg = f'{name} is "{mode}"; it must be "auto", "off" or "require"'
        raise ConfigError(msg)
