"""One publisher of a topic, as one subscriber follows it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._packing import PACKING_BYTES
from busduct.transport._inbox import Inbox
from busduct.transport._reordering import Item, Reordering
from busduct.transport._replay_address import replay_address_of
from busduct.transport._subscription import Subscription
from busduct.transport._sync_messages import max_request_bytes

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Source"]

# Records that come and then no more: the last of them may have been dropped.
QUIET_SECONDS = 0.25


class Source:
    """What has come of one publisher, in its order, and whether more can come.

    Args:
        context: Owns the sockets.
        loop: Runs the tasks.
        publisher_id: As the directory calls it.
        endpoint: Where it publishes.
        prefix: Of the topics wanted.
        reordering: Knows what has come of it already.
        options: Of the topic.
        on_change: Called when there are messages where there were none, when it may be
            gone, and at the end.

    Attributes:
        publisher_id: As the directory calls it.
        producer_id: The same in hexadecimal.
        reordering: As it was given.
        is_listed: Whether the directory says that it is there.
        is_in_turn: Whether messages are being taken of it.
        parting: Ends it, if it is gone and nothing more comes.
        num_taken: What was taken of it, gaps included.

    Raises:
        ClosedError: The context is closed.
        ConfigError: Not an endpoint, or none that a replay endpoint follows from.
    """

    def __init__(
        self,
        context: "Context",
        loop: asyncio.AbstractEventLoop,
        publisher_id: bytes,
        endpoint: str,
        *,
        prefix: bytes,
        reordering: Reordering,
        options: TopicOptions,
        on_change: Callable[["Source"], None],
    ) -> None:
        self.publisher_id = publisher_id
        self.producer_id = publisher_id.hex()
        self.reordering = reordering
        self.is_listed = True
        self.is_in_turn = False
        self.parting: asyncio.TimerHandle | None = None
        self.num_taken = 0
        hwm_messages, hwm_bytes = options.hwm_messages, options.hwm_bytes
        max_message_bytes = options.max_message_bytes + PACKING_BYTES
        replay_address = replay_address_of(endpoint)
        self._inbox = Inbox(hwm_messages, hwm_bytes, lambda: on_change(self))
        self._subscription = Subscription(
            context,
            loop,
            self._inbox,
            reordering,
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=max_message_bytes,
            max_answer_bytes=max_message_bytes + max_request_bytes(options.max_keys),
            replay_timeout=options.replay_timeout,
            quiet_interval=QUIET_SECONDS,
            on_down=lambda: on_change(self),
            send_buffer_bytes=options.send_buffer_bytes,
            recv_buffer_bytes=options.recv_buffer_bytes,
        )
        try:
            self._subscription.connect(
                endpoint, replay_address, [prefix], insecure=options.insecure
            )
        except BaseException:
            self._subscription.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes any more."""
        return self._inbox.is_closed

    @property
    def is_ready(self) -> bool:
        """Whether what it publishes from here on will come, or be told as a gap."""
        return self._subscription.synchronizer.ready.is_set() and not self.is_closed

    @property
    def is_gone(self) -> bool:
        """Whether the directory does not know it, and nothing connects us."""
        return not self.is_listed and not self._subscription.is_connected

    @property
    def is_exhausted(self) -> bool:
        """Whether all that has come has been taken, but for what waits for more."""
        return not self._inbox and not self._subscription.num_unread

    @property
    def num_queued(self) -> int:
        """Messages ready to be taken."""
        return len(self._inbox)

    @property
    def num_held(self) -> int:
        """Messages that wait for those before them."""
        return self.reordering.num_held

    @property
    def num_malformed(self) -> int:
        """What it has said that no publisher says."""
        return self._subscription.num_malformed

    def take(self) -> Item | None:
        """Take what comes next; None if nothing is there."""
        self.num_taken += 1
        return self._inbox.take()

    def give_up(self) -> None:
        """Have what is held, without what is missing before it."""
        self._inbox.put(self.reordering.give_up())

    def note_malformed(self, error: Exception) -> None:
        """Count what it said wrong."""
        self._subscription.note_malformed(error)

    def recent_errors(self) -> list[Exception]:
        """Return what it did wrong, the last 16 of messages and of links."""
        return self._subscription.recent_errors()

    async def wait_ready(self) -> None:
        """Wait until `is_ready`, or until it is closed. Cancelling is safe."""
        await self._subscription.synchronizer.ready.wait()

    def close(self) -> None:
        """Stop following. Idempotent."""
        self._subscription.close()

    async def wait_closed(self) -> None:
        """Wait until its tasks have ended."""
        await self._subscription.wait_closed()
