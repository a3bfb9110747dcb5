"""The consuming end of a queue."""

from busduct.fmq._consumer._consumer import Consumer

__all__ = ["Consumer"]
