"""Publishers that are kept for the next topic object of their name."""

import asyncio
import threading
from collections.abc import Hashable

from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._side import TopicSide

__all__ = ["Parking"]

MAX_PARKED = 64


class Parking:
    """Keeps what was open of topic objects that nobody refers to any more.

    Whoever asks for a topic afresh for each message goes on with one publisher: no
    subscriber has to find another one each time, and none is closed before those who
    were there have found it. Safe for use by several threads.
    """

    def __init__(self) -> None:
        # NB: a topic may be collected at any moment, in a thread that holds the lock.
        self._lock = threading.RLock()
        self._parked: dict[Hashable, TopicSide] = {}

    def take(self, name: str, options: TopicOptions) -> TopicSide | None:
        """Return what is open in the running loop, or without one, if anything is."""
        loop = asyncio._get_running_loop()
        with self._lock:
            return self._parked.pop((name, options, loop), None)

    def park(self, side: TopicSide) -> None:
        """Keep it, unless somebody listens to it still, which keeps it anyway."""
        local, hub = side.local, side.hub
        if local is None or hub is None or local.has_subscriptions:
            return
        loop = None if hub.thread is not None else side.loop
        with self._lock:
            place = (side.name, side.topic_options, loop)
            surplus = self._parked.pop(place, None)
            self._parked[place] = side
            if surplus is None and len(self._parked) > MAX_PARKED:
                surplus = self._parked.pop(next(iter(self._parked)))
        if surplus is not None:
            surplus.end_soon()
