"""The consuming end of a queue."""

from busduct.fmq._consumer._consumer import Consumer
from busduct.fmq._consumer._producer_link import Taken

__all__ = ["Consumer", "Taken"]
