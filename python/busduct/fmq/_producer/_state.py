"""What a producer hands on to the one that goes on for it."""

import os
from dataclasses import dataclass, field

from busduct.fmq._producer._share import Entry
from busduct.fmq._wire import ID_BYTES

__all__ = ["ProducerState"]


def _new_id() -> bytes:
    return os.urandom(ID_BYTES)


@dataclass(kw_only=True, slots=True)
class ProducerState:
    """Who a producer is, what it counted, and the messages that no consumer got.

    Attributes:
        producer_id: By which consumers tell it from others.
        next_msg_id: Of its next message.
        messages: In the order of their ids.
        num_put: As of `QueueProducerStatistics`, and so are the others.
    """

    producer_id: bytes = field(default_factory=_new_id)
    next_msg_id: int = 0
    messages: list[Entry] = field(default_factory=list)
    num_put: int = 0
    num_acknowledged: int = 0
    num_adopted: int = 0
    num_dropped: int = 0
    num_redelivered: int = 0
