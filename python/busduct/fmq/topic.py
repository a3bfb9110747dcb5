"""`Topic`: publish to whoever listens, and listen to whoever publishes."""

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from busduct._scopes import AsyncScope
from busduct.errors import ClosedError
from busduct.fmq._topic._calling import Callback
from busduct.fmq._topic._hub import TopicHubs
from busduct.fmq._topic._local import NOTHING_TO_WAIT_FOR, LocalTopic
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._statistics import TopicStatistics
from busduct.fmq._topic._subscription import OnGap, TopicSubscription

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
    it is another publisher, and subscribed to nothing.

    Args:
        hubs: Give each loop what sockets are made of.
        name: Of the topic.
        owner: Lives as long as this does.
        **overrides: Settings of `TopicOptions`, in place of the configured ones.
    """

    def __init__(
        self,
        hubs: TopicHubs,
        name: str,
        *,
        owner: object = None,
        **overrides: Any,
    ) -> None:
        self.name = name
        self._hubs = hubs
        self._owner = owner
        self._overrides = overrides
        self._local: LocalTopic | None = None
        self._is_closed = False

    @property
    def context(self) -> "Context":
        """The context that owns its sockets in the running loop."""
        return self._here().hub.context

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

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
        return await self._here().pub(
            data, key=key, wait_for_subscribers=wait_for_subscribers, timeout=timeout
        )

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
        on arrives, for at most a second where a publisher does not answer.

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
        return self._here().sub(callback, prefix, replay=replay, on_gap=on_gap)

    def stop_sub(self) -> Awaitable[None]:
        """End `sub`: no further call begins. Idempotent.

        Awaiting the result waits for the call that is under way.
        """
        return NOTHING_TO_WAIT_FOR if self._local is None else self._local.stop_sub()

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
        return self._here().messages(prefix, replay=replay, on_gap=on_gap)

    async def __aiter__(self) -> AsyncIterator[TopicMessage]:
        async with self.messages() as subscription:
            async for message in subscription:
                yield message

    def statistics(self) -> TopicStatistics:
        """Return the counters and what is held."""
        if self._local is None:
            return TopicStatistics(publisher=None, subscriptions=())
        return self._local.statistics()

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong, and what callbacks raised, the last 16 each."""
        return [] if self._local is None else self._local.recent_errors()

    async def aclose(self) -> None:
        """Send what was published, within linger, and end what is subscribed to.

        Waits for the callback, but not for the linger, which the context sees to.
        Idempotent.
        """
        self._is_closed = True
        local, self._local = self._local, None
        if local is not None:
            await local.close()
            local.hub.discard(local)

    def _here(self) -> LocalTopic:
        """Return what is open in the running loop.

        Raises:
            ClosedError: This side is closed.
            ConfigError: Not a name, or no address for it.
            ForkedError: It is open in the parent process.
            LocalProtocolError: No loop is running.
        """
        if self._is_closed:
            what = "topic"
            raise ClosedError(what)
        hub = self._hubs.here()
        if self._local is None or self._local.hub is not hub or self._local.is_closed:
            options = TopicOptions.of(hub.options_of(self.name), **self._overrides)
            local = LocalTopic(hub, self.name, options)
            hub.add(local)
            self._local = local
        return self._local
