"""What a benchmark and its processes say to each other."""

from typing import Literal, TypeAlias

import msgspec

from busduct.fmq.bench._config import BenchConfig, Carrier, Mode

__all__ = [
    "Begin",
    "ChildSettings",
    "Consumed",
    "Counted",
    "Failed",
    "Finish",
    "FromChild",
    "FromSource",
    "Produced",
    "Ready",
    "ToChild",
    "WarmUp",
]

Part: TypeAlias = Literal["producer", "consumer"]


class ChildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told on its standard input.

    Attributes:
        parent_pid: With which it ends.
        part: What it does.
        index: Which one of those.
        config: Of the benchmark.
        carrier: Of this round.
        mode: Of this round.
        ipc_root: Where the queue is.
        control: The endpoint to report to.
    """

    parent_pid: int
    part: Part
    index: int
    config: BenchConfig
    carrier: Carrier
    mode: Mode
    ipc_root: str
    control: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A process has its queue; a consumer has begun to compare what comes."""


class WarmUp(msgspec.Struct, frozen=True, tag=True):
    """A producer shall put its warm-up, once more."""


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The measurement begins; a consumer answers `Ready`."""


class Finish(msgspec.Struct, frozen=True, tag=True):
    """A process shall report what it has, and end."""


class Counted(msgspec.Struct, frozen=True, tag=True):
    """How many messages a process has put or got.

    Attributes:
        num_messages: Of the measurement or, before it, of the warm-up.
        producers: Of a consumer in the warm-up: the index of each producer, by its id.
    """

    num_messages: int
    producers: dict[str, int]


class Produced(msgspec.Struct, frozen=True, tag=True):
    """What a producer measured. Times are seconds since the epoch.

    Attributes:
        first: Before the first `put`.
        last: After the last one.
        cpu_seconds: That its process computed from the beginning to its result.
        puts: Nanoseconds that each `put` took, as signed 64-bit integers.
        lags: The same from when each message was due to its `put`; empty in a burst.
    """

    first: float
    last: float
    cpu_seconds: float
    puts: bytes
    lags: bytes


class FromSource(msgspec.Struct, frozen=True):
    """What a consumer got from one producer.

    Attributes:
        latencies: Nanoseconds of each message, as signed 64-bit integers.
        total_of_ids: Of the messages; tells of one that is missing, or came twice.
    """

    latencies: bytes
    total_of_ids: int


class Consumed(msgspec.Struct, frozen=True, tag=True):
    """What a consumer measured.

    Attributes:
        last: When it got its last message, in seconds since the epoch; 0 for none.
        cpu_seconds: As of `Produced`.
        sources: By the id of the producer.
    """

    last: float
    cpu_seconds: float
    sources: dict[str, FromSource]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A process cannot go on."""

    reason: str


ToChild: TypeAlias = WarmUp | Begin | Finish
FromChild: TypeAlias = Ready | Counted | Produced | Consumed | Failed
