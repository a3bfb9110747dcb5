"""`Topic`: publish to whoever listens, and listen to whoever publishes."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from busduct._scopes import AsyncScope
from busduct.fmq._closing import begin_closing
from busduct.fmq._hubs import Hubs
from busduct.fmq._options import QueueOptions
from busduct.fmq._queue_sync import require_no_loop
from busduct.fmq._topic._asking import Interest, OnGap, Publication
from busduct.fmq._topic._calling import Callback
from busduct.fmq._topic._local import NOTHING_TO_WAIT_FOR
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._parking import Parking
from busduct.fmq._topic._side import TopicSide
from busduct.fmq._topic._statistics import TopicStatistics
from busduct.fmq._topic._subscription import TopicSubscription

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Topic"]


class Topic(AsyncScope):
    """A topic of any number of publishers and subscribers, whoever starts first.

    They find each other at the topic's address; what is published goes from each
    publisher to each of its subscribers directly. Nothing waits for a slow subscriber:
    what it has no room for is dropped for it alone, and replayed when it reads again,
    or told as a gap if it is not held any more.

    It is in use in one event loop at a time. In another one, once the first has ended,
    it is another publisher, and subscribed to nothing. In code without a loop, it is in
    use in a thread of its `FMQ`, which is where callbacks run then.

    Args:
        hubs: Give each loop what sockets are made of.
        name: Of the topic.
        options: Configured for it.
        owner: Lives as long as this does.
        parking: Keeps what is open when nobody refers to this any more.
        **overrides: Fields of `TopicOptions`, in place of what is configured.

    Raises:
        TypeError: A setting that a topic does not have.
    """

    def __init__(
        self,
        hubs: Hubs,
        name: str,
        options: QueueOptions,
        *,
        owner: object = None,
        parking: Parking | None = None,
        **overrides: Any,
    ) -> None:
        self.name = name
        self._owner = owner
        topic_options = TopicOptions.of(options, **overrides)
        parking = parking or Parking()
        parked = parking.take(name, topic_options)
        self._side = parked or TopicSide(hubs, name, options, topic_options)
        self._finalizer = weakref.finalize(self, parking.park, self._side)
        self._finalizer.atexit = False

    @property
    def context(self) -> "Context":
        """What owns its sockets; the same for all of an `FMQ` in one loop.

        Raises:
            ClosedError: This side is closed.
            ForkedError: It is open in the parent process.
            LocalProtocolError: It is open in another loop.
        """
        if asyncio._get_running_loop() is None:
            return self._side.open_anywhere().context
        return self._side.require_here().hub.context

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._side.is_closed

    async def pub(
        self,
        data: Any,
        *,
        key: str = "",
        wait_for_subscribers: int = 0,
        timeout: float | None = None,
    ) -> int:
        """Publish a message; return its number, which counts from 0.

        Subscribers that there are get it, and those that began before this publisher
        did, even if they find it later; so do those that ask for a replay while it is
        held. Cancelled while it waits: nothing was published.

        Args:
            data: As of `Queue.put`.
            key: What subscribers choose by, at most 254 bytes.
            wait_for_subscribers: Wait until so many get messages of this key.
            timeout: Seconds that it waits for them; None for no bound.

        Raises:
            ClosedError: This side is closed.
            ConfigError: Not a key, or a negative count.
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: Of one key more than `max_keys`.
            PayloadError: Something in `data` cannot be encoded.
            WaitTimeoutError: The subscribers did not come; nothing was published.
        """
        side = self._side
        publication = Publication(data, key, wait_for_subscribers, timeout)
        if side.is_here():
            return await side.opened.pub(publication)
        return await side.elsewhere(lambda: side.opened.pub(publication))

    def pub_sync(
        self,
        data: Any,
        *,
        key: str = "",
        wait_for_subscribers: int = 0,
        timeout: float | None = None,
    ) -> int:
        """Publish a message from code without a loop; as `pub`.

        Raises:
            LocalProtocolError: A loop runs in this thread.
        """
        require_no_loop()
        side = self._side
        publication = Publication(data, key, wait_for_subscribers, timeout)
        return side.blocking(lambda: side.opened.pub(publication))

    def sub(
        self,
        callback: Callback,
        prefix: str = "",
        *,
        replay: int = 0,
        on_gap: OnGap | None = None,
    ) -> Awaitable[None]:
        """Call a function with each message, one after the other.

        A coroutine function is awaited. What it raises is logged and counted, and the
        next message comes. A slow one holds up nobody else.

        It begins at once. Awaiting the result waits until what is published from then
        on arrives, for at most a second where a publisher does not answer. Without a
        running loop this waits for it, and the calls are made in the thread of the
        `FMQ`.

        Args:
            callback: Called with a `TopicMessage`.
            prefix: A key; or the beginning of keys and an asterisk; "" for all.
            replay: How many of the last messages of each key and publisher to begin
                with.
            on_gap: Called with a key, and how many messages of it are lost.

        Raises:
            AlreadySubscribedError: Another `sub` has not been stopped.
            ClosedError: This side is closed.
            ConfigError: Not a pattern of keys, or a negative `replay`.
        """
        interest = Interest(prefix, replay, on_gap)
        if asyncio._get_running_loop() is not None:
            return self._side.require_here().sub(callback, interest)

        async def subscribe() -> None:
            await self._side.opened.sub(callback, interest)

        self._side.blocking(subscribe)
        return NOTHING_TO_WAIT_FOR

    def stop_sub(self) -> Awaitable[None]:
        """End `sub`: no further call begins. Idempotent.

        Awaiting the result waits for the call that is under way. Without a running loop
        this waits for it.

        Raises:
            LocalProtocolError: It is open in another loop.
        """
        side = self._side
        if side.local is None or side.hub is None:
            return NOTHING_TO_WAIT_FOR
        if asyncio._get_running_loop() is not None:
            return side.require_here().stop_sub()

        async def stop() -> None:
            await side.opened.stop_sub()

        side.blocking(stop)
        return NOTHING_TO_WAIT_FOR

    def messages(
        self, prefix: str = "", *, replay: int = 0, on_gap: OnGap | None = None
    ) -> TopicSubscription:
        """Subscribe, to iterate over the messages; raises as `sub`.

        It begins at once, and lasts until it or the topic is closed. There may be any
        number of them.

        Args:
            prefix: As of `sub`.
            replay: As of `sub`.
            on_gap: As of `sub`.
        """
        return self._side.require_here().messages(Interest(prefix, replay, on_gap))

    async def __aiter__(self) -> AsyncIterator[TopicMessage]:
        async with self.messages() as subscription:
            async for message in subscription:
                yield message

    def statistics(self) -> TopicStatistics:
        """Return the counters and what is held."""
        if self._side.local is None:
            return TopicStatistics(publisher=None, subscriptions=())
        return self._side.local.statistics()

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong, and what callbacks raised, the last 16 each."""
        local = self._side.local
        return [] if local is None else local.recent_errors()

    def close(self) -> Awaitable[None]:
        """Give subscribers what they are to have, within linger, and subscribe no more.

        Idempotent. It begins at once, and waits for the callback, too; without a
        running loop it is done on return. Else await what it returns.
        """
        return begin_closing(self._side.close_here, self._side.close_blocking)

    async def aclose(self) -> None:
        """Do what `close` does, at the end of an ``async with`` block."""
        await self._side.close_here()
