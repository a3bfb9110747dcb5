"""Follow one publisher: what comes live or is replayed, and the links it comes by."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import (
    ClosedError,
    ConfigError,
    LocalProtocolError,
    RemoteProtocolError,
)
from busduct.transport._inbox import Inbox
from busduct.transport._records import (
    PRESENCE_TOPIC,
    Fence,
    check_topic,
    decode_published,
)
from busduct.transport._reordering import Item, Reordering, Restart
from busduct.transport._sync_messages import MAX_PREFIXES
from busduct.transport._synchronizer import Synchronizer

if TYPE_CHECKING:
    from busduct._core import Context, Monitor

__all__ = ["Subscription"]

_backend = load_backend()

NUM_ERRORS_KEPT = 16
# Subscriptions come and go with each request; links do not come so fast.
MAX_MONITOR_EVENTS = 64


class Subscription:
    """The sockets and tasks of one subscriber, which fill its inbox.

    Args:
        context: Owns the sockets.
        loop: Runs the tasks.
        inbox: Filled in the order in which its items are to be taken.
        reordering: Holds the state of the topics.
        hwm_messages: Batches that the socket of the live stream queues.
        hwm_bytes: Bytes of those.
        max_message_bytes: Of the socket of the live stream.
        max_answer_bytes: Of a message of the replay endpoint, both ways.
        replay_timeout: As of `Synchronizer`.
        quiet_interval: As of `Synchronizer`.
        on_down: Called when the live stream has lost its connection, and for each batch
            that is read without one.
        send_buffer_bytes: As of `Context.socket`, of both sockets.
        recv_buffer_bytes: As above.

    Raises:
        ClosedError: The context is closed.
        ConfigError: A limit out of its range.
    """

    def __init__(
        self,
        context: "Context",
        loop: asyncio.AbstractEventLoop,
        inbox: Inbox,
        reordering: Reordering,
        *,
        hwm_messages: int,
        hwm_bytes: int,
        max_message_bytes: int,
        max_answer_bytes: int,
        replay_timeout: float,
        quiet_interval: float,
        on_down: Callable[[], None] | None = None,
        send_buffer_bytes: int = 0,
        recv_buffer_bytes: int = 0,
    ) -> None:
        self.num_malformed = 0
        self.errors: deque[Exception] = deque(maxlen=NUM_ERRORS_KEPT)
        self.prefixes: set[bytes] = set()
        self._loop = loop
        self._inbox = inbox
        self._reordering = reordering
        self._on_down = on_down
        self._is_down = False
        self._tasks: list[asyncio.Task[None]] = []
        self._live = context.socket(
            _backend.SUB,
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=max_message_bytes,
            send_buffer_bytes=send_buffer_bytes,
            recv_buffer_bytes=recv_buffer_bytes,
        )
        self._dealer = context.socket(
            _backend.DEALER,
            immediate=True,
            linger=0.0,
            max_message_bytes=max_answer_bytes,
            send_buffer_bytes=send_buffer_bytes,
            recv_buffer_bytes=recv_buffer_bytes,
        )
        self.synchronizer = Synchronizer(
            self._live,
            self._dealer,
            reordering,
            inbox,
            note_malformed=self.note_malformed,
            replay_timeout=replay_timeout,
            quiet_interval=quiet_interval,
        )

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection of the live stream."""
        return not self._live.closed and self._live.statistics().num_peers > 0

    @property
    def num_unread(self) -> int:
        """Batches that have come and are not in the inbox yet."""
        return 0 if self._live.closed else self._live.statistics().num_recv_queued

    def connect(
        self,
        address: str,
        replay_address: str,
        topics: Iterable[str | bytes],
        *,
        insecure: bool = False,
    ) -> None:
        """Subscribe, connect, and start the tasks.

        Args:
            address: Of the live stream.
            replay_address: Of what was missed.
            topics: Prefixes of the topics wanted.
            insecure: As of `Socket.connect`.

        Raises:
            ConfigError: Not an endpoint, or a topic that cannot be.
        """
        # NB: a string is one topic, not its characters.
        for topic in [topics] if isinstance(topics, str | bytes) else topics:
            self.subscribe(topic)
        # NB: behind the topics, so that whoever is counted by it has them in force.
        self._live.subscribe(PRESENCE_TOPIC)
        monitor = self._live.monitor(MAX_MONITOR_EVENTS)
        self._dealer.connect(replay_address, insecure=insecure)
        self._live.connect(address, insecure=insecure)
        for name, coroutine in (
            ("live", self._pump()),
            ("links", self._watch(monitor)),
            ("replay", self.synchronizer.run()),
        ):
            task = self._loop.create_task(coroutine, name=f"busduct-subscriber-{name}")
            task.add_done_callback(self._end)
            self._tasks.append(task)

    def subscribe(self, topic: str | bytes) -> None:
        """Add a prefix; raises as `MessageSubscriber.subscribe`."""
        prefix = check_topic(topic)
        if prefix in self.prefixes:
            return
        if len(self.prefixes) >= MAX_PREFIXES:
            msg = f"subscription to more than {MAX_PREFIXES} prefixes"
            raise ConfigError(msg)
        self._live.subscribe(prefix)
        self.prefixes.add(prefix)
        self._reordering.add_prefix(prefix)
        if self._live.statistics().num_peers:
            self.synchronizer.ask()

    def unsubscribe(self, topic: str | bytes) -> None:
        """Remove a prefix; raises as `MessageSubscriber.unsubscribe`."""
        prefix = check_topic(topic)
        if prefix not in self.prefixes:
            msg = f"not subscribed to {prefix!r}"
            raise LocalProtocolError(msg)
        self._live.unsubscribe(prefix)
        self.prefixes.remove(prefix)
        self._reordering.remove_prefix(prefix)

    def note_malformed(self, error: Exception) -> None:
        """Count what the publisher sent wrong."""
        self.num_malformed += 1
        self.errors.append(error)

    def recent_errors(self) -> list[Exception]:
        """Return what went wrong on the links, and in what came over them."""
        links = [*self._live.recent_errors(), *self._dealer.recent_errors()]
        return [*links, *self.errors]

    def close(self) -> None:
        """Close the sockets and end the tasks. Idempotent."""
        self._live.close()
        self._dealer.close()
        self._inbox.close()
        # Whoever waits finds it closed.
        self.synchronizer.ready.set()
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the tasks have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pump(self) -> None:
        while True:
            parts = await self._live.recv_multipart()
            try:
                items = self._read(parts)
            except RemoteProtocolError as error:
                self.note_malformed(error)
                items = []
            self._inbox.put(items)
            if self._is_down:
                self._tell_down()
            if any(isinstance(item, Restart) for item in items):
                self.synchronizer.ask()
            elif self._reordering.needs_sync:
                self.synchronizer.ask(is_unready=False)
            await self._inbox.wait_room()

    def _read(self, parts: list[bytes]) -> list[Item]:
        published = decode_published(parts)
        if isinstance(published, Fence):
            return self.synchronizer.note_fence(published)
        items = self._reordering.live(published)
        self.synchronizer.note_live()
        return items

    async def _watch(self, monitor: "Monitor") -> None:
        async for event in monitor:
            if event.kind == "connected":
                self._is_down = False
                self.synchronizer.ask()
            elif event.kind == "disconnected":
                self._is_down = True
                self.synchronizer.ready.clear()
                self._tell_down()

    def _tell_down(self) -> None:
        if self._on_down is not None:
            self._on_down()

    def _end(self, task: asyncio.Task[None]) -> None:
        """Close when a task ends: its context was closed, or something is wrong."""
        self.close()
        if not task.cancelled():
            with suppress(ClosedError):
                task.result()
