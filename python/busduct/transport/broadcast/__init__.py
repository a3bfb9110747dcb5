"""One writer, many readers, each of which gets every item in order."""

from busduct.transport.broadcast._handle import BroadcastHandle
from busduct.transport.broadcast._queue import BroadcastQueue
from busduct.transport.broadcast._reader import BroadcastReader

__all__ = ["BroadcastHandle", "BroadcastQueue", "BroadcastReader"]
