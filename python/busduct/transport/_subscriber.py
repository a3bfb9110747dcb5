"""Receive typed messages of a publisher in order, each once, and tell what is lost."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from busduct._scopes import AsyncScope
from busduct.codec import Codec
from busduct.errors import ClosedError, WaitTimeoutError
from busduct.statistics import SubscriberStatistics
from busduct.transport._inbox import Inbox
from busduct.transport._processing import Processing
from busduct.transport._ranges import require_at_least
from busduct.transport._reordering import Gap, Record, Reordering, Restart
from busduct.transport._replay_address import replay_address_of
from busduct.transport._subscription import Subscription
from busduct.transport._sync_messages import max_request_bytes
from busduct.transport._waiting_line import WaitingLine

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["MessageSubscriber"]

T = TypeVar("T")


class MessageSubscriber(AsyncScope, Generic[T]):
    """Receive the messages of one `MessagePublisher`.

    Messages of a topic come in their order and once, those that were dropped on the way
    included as long as the publisher holds them. A message behind a gap waits for what
    precedes it, for at most `replay_timeout`. What is lost is told by `on_gap`, at its
    place among the messages: inside the call that takes the next one. Iterate over it,
    or call `recv`; or give it a `process` by inheritance, and call `start`.

    It belongs to one event loop. A caller who takes nothing holds up nobody else: the
    publisher drops what there is no room for, and it is asked for again afterwards.

    Args:
        codec: Reads the payloads.
        connect_address: The publisher's `bind_address`.
        context: Owns the sockets.
        loop: The loop; None for the running one.
        topics: Prefixes of the topics wanted; None for all.
        replay_address: The publisher's second endpoint; None for what follows from
            `connect_address`, as told at `MessagePublisher`.
        replay: How many of the last messages of each topic to begin with.
        on_gap: Called with the topic, the number of the first message missing, and how
            many are.
        on_restart: Called with the publisher's epoch when it has begun another life;
            what it held before is gone.
        replay_timeout: Seconds without an answer of the publisher after which what is
            missing is given up.
        quiet_interval: Seconds without messages after which the publisher is asked,
            once, whether the last have come.
        max_topics: Topics followed at once; those of more are malformed.
        max_message_bytes: Of one message or batch; a larger one ends the connection.
        hwm_messages: Messages ready to be taken, messages held behind a gap, and
            batches not yet read: so many of each.
        hwm_bytes: Bytes of those, and 96 for each; of each of the three.

    Raises:
        ConfigError: A value out of its range, or a topic over 255 bytes or beginning
            with the byte FF.
        ClosedError: The context is closed.
        RuntimeError: No loop is given, and none is running.
    """

    def __init__(
        self,
        codec: Codec[T],
        connect_address: str,
        context: "Context",
        loop: asyncio.AbstractEventLoop | None = None,
        topics: Iterable[str | bytes] | None = None,
        *,
        replay_address: str | None = None,
        replay: int = 0,
        on_gap: Callable[[bytes, int, int], None] | None = None,
        on_restart: Callable[[int], None] | None = None,
        replay_timeout: float = 10.0,
        quiet_interval: float = 1.0,
        max_topics: int = 4096,
        max_message_bytes: int = 1 << 30,
        hwm_messages: int = 10_000,
        hwm_bytes: int = 64 << 20,
    ) -> None:
        require_at_least(
            0,
            replay=replay,
            replay_timeout=replay_timeout,
            quiet_interval=quiet_interval,
        )
        require_at_least(
            1, max_topics=max_topics, hwm_messages=hwm_messages, hwm_bytes=hwm_bytes
        )
        self.loop = loop or asyncio.get_running_loop()
        self.connect_address = connect_address
        self.replay_address = replay_address or replay_address_of(connect_address)
        self._codec = codec
        self._on_gap = on_gap
        self._on_restart = on_restart
        self._num_received = self._num_gaps = 0
        self._num_missing = self._num_restarts = 0
        self._processing: Processing[T] | None = None
        self._inbox = Inbox(hwm_messages, hwm_bytes)
        self._line = WaitingLine()
        self._reordering = Reordering(replay, hwm_messages, hwm_bytes, max_topics)
        self._subscription = Subscription(
            context,
            self.loop,
            self._inbox,
            self._reordering,
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=max_message_bytes,
            max_answer_bytes=max_message_bytes + max_request_bytes(max_topics),
            replay_timeout=replay_timeout,
            quiet_interval=quiet_interval,
        )
        wanted = topics or [b""]
        try:
            self._subscription.connect(connect_address, self.replay_address, wanted)
        except BaseException:
            self._subscription.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether it, or its context, is closed."""
        return self._inbox.is_closed

    @property
    def epoch(self) -> int:
        """The number of the publisher's life; 0 before anything came."""
        return self._reordering.epoch

    @property
    def topics(self) -> list[bytes]:
        """The prefixes subscribed to."""
        return sorted(self._subscription.prefixes)

    def subscribe(self, topic: str | bytes) -> None:
        """Take messages of topics with this prefix, too; once is enough.

        Raises:
            ClosedError: This side is closed.
            ConfigError: Over 255 bytes, beginning with FF, or one of over 1024.
        """
        self._subscription.subscribe(topic)

    def unsubscribe(self, topic: str | bytes) -> None:
        """Take back a `subscribe`; messages that have come already are still given.

        Raises:
            ClosedError: This side is closed.
            LocalProtocolError: Not subscribed to.
        """
        self._subscription.unsubscribe(topic)

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until what is published from then on will arrive, or be told as a gap.

        It stops being so while the connection is lost. Cancelling is safe.

        Raises:
            ClosedError: This side is closed.
            WaitTimeoutError: It was not so within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._subscription.synchronizer.ready.wait()
        except TimeoutError:
            raise WaitTimeoutError(timeout or 0.0) from None
        if self._inbox.is_closed:
            raise ClosedError("subscriber")

    async def recv(self) -> T:
        """Take the next message, waiting for it.

        Cancelling loses nothing. Several tasks may receive at once: each message goes
        to the one that has waited longest.

        Raises:
            ClosedError: This side is closed.
            Exception: What the codec raises in `on_decode_error`, and the callbacks.
        """
        return await self._line.take(self.recv_nowait, self._inbox.wait_item)

    def recv_nowait(self) -> T | None:
        """Take the next message; None if there is none.

        A message that decodes to None is skipped.

        Raises:
            ClosedError: This side is closed.
            Exception: What the codec raises in `on_decode_error`, and the callbacks.
        """
        if self._inbox.is_closed:
            raise ClosedError("subscriber")
        while (item := self._inbox.take()) is not None:
            if not isinstance(item, Record):
                self._tell(item)
            elif (message := self._decode(item.payload)) is not None:
                self._num_received += 1
                return message
        return None

    poll = recv_nowait

    def start(self) -> None:
        """Give all messages to `process` from here on, in batches, one at a time.

        What it raises goes to the loop's exception handler, and the next batch comes.
        """
        if self._processing is None:
            self._processing = Processing(
                self.loop, self.recv, self.recv_nowait, self.process
            )

    async def process(self, items: list[T]) -> None:
        """Handle messages; for subclasses, which `start` has call it.

        Raises:
            NotImplementedError: Unless a subclass has its own.
        """
        raise NotImplementedError

    def statistics(self) -> SubscriberStatistics:
        """Return the counters and queue lengths."""
        return SubscriberStatistics(
            num_received=self._num_received,
            num_malformed=self._subscription.num_malformed,
            num_duplicates=self._reordering.num_duplicates,
            num_gaps=self._num_gaps,
            num_missing=self._num_missing,
            num_restarts=self._num_restarts,
            num_syncs=self._subscription.synchronizer.num_syncs,
            num_queued=len(self._inbox),
            num_queued_bytes=self._inbox.nbytes,
            num_held=self._reordering.num_held,
            num_topics=self._reordering.num_topics,
            is_ready=self._subscription.synchronizer.ready.is_set()
            and not self._inbox.is_closed,
        )

    def recent_errors(self) -> list[Exception]:
        """Return what the publisher did wrong, the last 16 of messages and of links."""
        return self._subscription.recent_errors()

    def close(self) -> None:
        """Stop receiving; messages not taken are gone. Idempotent.

        A `process` that is under way goes on to its end.
        """
        self._subscription.close()

    async def aclose(self) -> None:
        """Close, and wait until its tasks, and `process`, have ended."""
        self.close()
        await self._subscription.wait_closed()
        if self._processing is not None:
            await self._processing.wait_closed()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None

    def _tell(self, item: Gap | Restart) -> None:
        if isinstance(item, Restart):
            self._num_restarts += 1
            if self._on_restart is not None:
                self._on_restart(item.epoch)
        else:
            self._num_gaps += 1
            self._num_missing += item.num_missing
            if self._on_gap is not None:
                self._on_gap(item.topic, item.first_missing, item.num_missing)

    def _decode(self, payload: bytes) -> T | None:
        try:
            return self._codec.decode(payload)
        except Exception as error:
            self._subscription.note_malformed(error)
            return self._codec.on_decode_error(payload, error)
