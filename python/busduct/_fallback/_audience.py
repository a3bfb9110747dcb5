"""Who subscribed: what a publisher's caller can ask, and wait for."""

import functools
import operator
from collections.abc import Callable

from busduct._fallback._exchange import Exchange
from busduct._fallback._given import Data, to_bytes
from busduct._fallback._kinds import KIND_NAMES
from busduct._fallback._pattern import Pattern
from busduct._fallback._publisher import Publisher
from busduct._fallback._waiting import WaitQueue
from busduct.errors import ConfigError, LocalProtocolError

__all__ = ["Audience"]


class Audience:
    """The subscribers of one socket."""

    def __init__(self, pattern: Pattern, exchange: Exchange) -> None:
        self._pattern = pattern
        self._exchange = exchange

    @property
    def _publisher(self) -> Publisher:
        distributor = self._pattern.distributor
        if not isinstance(distributor, Publisher):
            msg = f"a {KIND_NAMES[self._pattern.options.kind]} does not publish"
            raise LocalProtocolError(msg)
        return distributor

    def count(self, topic: Data) -> int:
        """Return how many peers a message that starts so would go to."""
        prefix = to_bytes(topic)
        self._exchange.check_open()
        return self._publisher.count(prefix)

    def waiting(self, count: int, topic: Data) -> Callable[[], WaitQueue | None]:
        """Return the attempt to find so many subscribers."""
        prefix = to_bytes(topic)
        self._exchange.check_open()
        publisher = self._publisher
        if operator.index(count) < 1:
            msg = f"count is {count}; it must be at least 1"
            raise ConfigError(msg)
        return functools.partial(self._find, publisher, count, prefix)

    def _find(self, publisher: Publisher, count: int, topic: bytes) -> WaitQueue | None:
        self._exchange.check_open()
        return None if publisher.count(topic) >= count else publisher.changed
