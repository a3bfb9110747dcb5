"""The side of a queue that messages are put into."""

from busduct.fmq._producer._producer import Producer
from busduct.fmq._producer._share import Entry
from busduct.fmq._producer._state import ProducerState

__all__ = ["Entry", "Producer", "ProducerState"]
