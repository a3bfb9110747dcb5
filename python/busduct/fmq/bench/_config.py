"""What a run of the benchmark is to do."""

import math
from importlib.util import find_spec
from typing import Literal, TypeAlias

import msgspec

from busduct.errors import ConfigError
from busduct.fmq._config_checks import check_fields

__all__ = ["BenchConfig", "Carrier", "Mode", "PayloadKind"]

Carrier: TypeAlias = Literal["shm", "kernel"]
Mode: TypeAlias = Literal["burst", "paced"]
PayloadKind: TypeAlias = Literal["bytes", "dict", "array"]

# The least and the greatest that each may be. A duration takes eight bytes until the
# end of a round; a payload begins with the number of its producer.
_RANGES = {
    "num_producers": (1, 256),
    "num_consumers": (1, 256),
    "num_messages": (1, 10_000_000),
    "payload_nbytes": (8, 1 << 30),
    "shm_threshold": (0, 1 << 40),
    "num_warmup": (1, 10_000),
    "num_rounds": (1, 1000),
}
_MAX_DURATIONS = 50_000_000


class BenchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a benchmark of one queue.

    Attributes:
        num_producers: Processes that put.
        num_consumers: Processes that get.
        num_messages: Of each producer, in each round.
        payload_nbytes: Of a message.
        payload: ``bytes``; ``dict``, which holds the bytes and a number; or ``array``,
            a dict that holds a numpy array.
        views: Bytes arrive as read-only views rather than as copies.
        shm_threshold: Of `Queue.put`.
        modes: ``burst``: each message is put as soon as the one before it is; messages
            wait, so their latency is that of a queue as long as it may get. ``paced``:
            `rate` a second of each producer.
        rate: Messages a second of each producer, when paced.
        carriers: ``shm``: through shared memory; ``kernel``: through Unix sockets.
        num_rounds: How often each pair of mode and carrier is measured, in turn.
        num_warmup: Messages of each producer before each measurement, whose contents
            are compared with what was put.
        timeout: Seconds that one round of one pair may take.

    Raises:
        ConfigError: A value of another type, or out of its range.
        ImportError: Arrays without numpy.
    """

    num_producers: int = 1
    num_consumers: int = 1
    num_messages: int = 1000
    payload_nbytes: int = 1 << 20
    payload: PayloadKind = "bytes"
    views: bool = False
    shm_threshold: int = 1 << 20
    modes: tuple[Mode, ...] = ("burst", "paced")
    rate: float = 500.0
    carriers: tuple[Carrier, ...] = ("shm", "kernel")
    num_rounds: int = 1
    num_warmup: int = 16
    timeout: float = 120.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                msg = f"{name} is {value}; it must be from {least} to {most}"
                raise ConfigError(msg)
        for name in ("rate", "timeout"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                msg = f"{name} is {value}; it must be finite and above 0"
                raise ConfigError(msg)
        if self.num_total > _MAX_DURATIONS:
            msg = (
                f"{self.num_total:,} messages in a round exceed limit of "
                f"{_MAX_DURATIONS:,}"
            )
            raise ConfigError(msg)
        _check_choices(self)

    @property
    def num_total(self) -> int:
        """Messages of all producers in a round."""
        return self.num_producers * self.num_messages


def _check_choices(config: BenchConfig) -> None:
    for name in ("modes", "carriers"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            msg = f"{name} are {values}; each is given once, and there is at least one"
            raise ConfigError(msg)
    if config.payload == "array" and find_spec("numpy") is None:
        msg = (
            "arrays need numpy; "
            "install the extra 'tensors': pip install 'busduct[tensors]'"
        )
        raise ImportError(msg, name="numpy")
