"""A topic in one event loop: what it publishes, and what it subscribes to."""

import asyncio
import time
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import Any

from busduct.errors import (
    AlreadySubscribedError,
    ClosedError,
    WaitTimeoutError,
)
from busduct.fmq._hub import Hub
from busduct.fmq._payload import encode
from busduct.fmq._topic._asking import Interest, Publication
from busduct.fmq._topic._calling import Callback, Calling
from busduct.fmq._topic._keys import topic_of
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._packing import pack
from busduct.fmq._topic._publishing import Publishing
from busduct.fmq._topic._statistics import TopicStatistics
from busduct.fmq._topic._subscription import TopicSubscription
from busduct.transport._ranges import require_at_least

__all__ = ["NOTHING_TO_WAIT_FOR", "LocalTopic"]

# A publisher that does not answer holds up nobody who only wants to listen.
READY_SECONDS = 1.0


class LocalTopic:
    """What a topic has open on a hub.

    Args:
        hub: Owns the sockets.
        name: Of the topic.
        options: What it does at its limits.
    """

    def __init__(self, hub: Hub, name: str, options: TopicOptions) -> None:
        self.hub = hub
        self.is_closed = False
        self._name = name
        self._options = options
        self._num_published = 0
        self._publishing: Publishing | None = None
        self._calling: Calling | None = None
        self._subscriptions: list[TopicSubscription] = []

    @property
    def has_subscriptions(self) -> bool:
        """Whether any is open."""
        return any(not subscription.is_closed for subscription in self._subscriptions)

    async def pub(self, publication: Publication) -> int:
        """Publish a message; as `Topic.pub`."""
        data, key, wait_for_subscribers, timeout = publication
        require_at_least(0, wait_for_subscribers=wait_for_subscribers)
        topic = topic_of(key)
        limit = self._options.max_message_bytes
        publishing = self._publish()
        encoded = encode(
            data, threshold=limit + 1, loan=publishing.loan, max_bytes=limit
        )
        if wait_for_subscribers:
            try:
                async with asyncio.timeout(timeout):
                    await publishing.wait_subscribers(wait_for_subscribers, topic)
            except TimeoutError:
                raise WaitTimeoutError(timeout or 0.0) from None
        await publishing.give_way(encoded.nbytes)
        msg_id = self._num_published
        publishing.send(topic, pack(encoded, msg_id=msg_id, timestamp=time.time()))
        self._num_published += 1
        return msg_id

    def sub(self, callback: Callback, interest: Interest) -> Awaitable[None]:
        """Call a function with each message; as `Topic.sub`."""
        if self._calling is not None and not self._calling.is_over:
            raise AlreadySubscribedError(self._name)
        subscription = self.messages(interest)
        self._calling = Calling(self.hub.loop, subscription, callback)
        return _Readiness(subscription)

    def stop_sub(self) -> Awaitable[None]:
        """End `sub`; as `Topic.stop_sub`."""
        calling, self._calling = self._calling, None
        if calling is not None:
            calling.close()
        return _End(calling)

    def messages(self, interest: Interest) -> TopicSubscription:
        """Subscribe, to iterate over the messages; as `Topic.messages`."""
        if self.is_closed:
            raise ClosedError("topic")
        subscription = TopicSubscription(self.hub, self._name, interest, self._options)
        self._subscriptions = [s for s in self._subscriptions if not s.is_closed]
        self._subscriptions.append(subscription)
        return subscription

    def statistics(self) -> TopicStatistics:
        """Return the counters and what is held."""
        publishing = self._publishing
        return TopicStatistics(
            publisher=None if publishing is None else publishing.statistics(),
            subscriptions=tuple(
                subscription.statistics()
                for subscription in self._subscriptions
                if not subscription.is_closed
            ),
        )

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong, and what callbacks raised, the last 16 each."""
        errors = self._publishing.recent_errors() if self._publishing else []
        for subscription in self._subscriptions:
            errors += subscription.recent_errors()
        return errors

    def settle(self) -> None:
        """Let go of what is left, when the context is closed. Idempotent."""
        self._end_subscriptions()
        if self._publishing is not None:
            self._publishing.abandon()

    async def close(self) -> None:
        """Give subscribers what they are to have, within linger. Idempotent.

        Waits for the callback, too.
        """
        self._end_subscriptions()
        if self._publishing is not None:
            await self._publishing.close()
        await self.stop_sub()
        for subscription in self._subscriptions:
            await subscription.aclose()

    def _end_subscriptions(self) -> None:
        self.is_closed = True
        for subscription in self._subscriptions:
            subscription.close()

    def _publish(self) -> Publishing:
        if self.is_closed:
            raise ClosedError("topic")
        if self._publishing is None:
            self._publishing = Publishing(self.hub, self._name, self._options)
        return self._publishing


class _Readiness:
    """Waits for a subscription's publishers, if anybody awaits it."""

    def __init__(self, subscription: TopicSubscription) -> None:
        self._subscription = subscription

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        with suppress(WaitTimeoutError, ClosedError):
            await self._subscription.wait_ready(READY_SECONDS)


class _End:
    """Waits for the end of the calls, if anybody awaits it."""

    def __init__(self, calling: Calling | None) -> None:
        self._calling = calling

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._calling is not None:
            await self._calling.wait_closed()


NOTHING_TO_WAIT_FOR = _End(None)
