"""All publishers of a topic that one subscriber follows, who take turns."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct.errors import BusductError
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._publisher_id import began_after
from busduct.fmq._topic._source import Source
from busduct.transport._reordering import Item, Reordering
from busduct.transport._sync_messages import ALL_RECORDS

if TYPE_CHECKING:
    from busduct._core import Context
    from busduct.fmq._directory import Members

__all__ = ["Sources"]

MAX_LOST_KEPT = 64
# NB: what was sent before a connection ended may be parsed when it counts no more.
GRACE_SECONDS = 0.25


class Sources:
    """Follow the publishers that the directory lists, as long as they have anything.

    A publisher that began after this subscriber did is asked for all that it holds, so
    that what it published before it was found is not lost.

    Args:
        context: Owns the sockets.
        loop: Runs the tasks.
        started_ns: When the subscriber began, in nanoseconds since the epoch.
        prefix: Of the topics wanted.
        replay: How many of the last messages of each topic to begin with.
        options: Of the topic.
        on_error: Called with what is wrong with an endpoint that is listed.

    Attributes:
        filled: Set while there may be something to take.
        num_malformed: Messages that were none, of publishers that are gone.
    """

    def __init__(
        self,
        context: "Context",
        loop: asyncio.AbstractEventLoop,
        *,
        started_ns: int,
        prefix: bytes,
        replay: int,
        options: TopicOptions,
        on_error: Callable[[Exception], None],
    ) -> None:
        self.filled = asyncio.Event()
        self.num_malformed = 0
        self._context = context
        self._loop = loop
        self._started_ns = started_ns
        self._prefix = prefix
        self._replay = replay
        self._options = options
        self._on_error = on_error
        self._is_closed = False
        self._sources: dict[bytes, Source] = {}
        # Those that were followed and may come back: over a network links can break.
        self._lost: dict[bytes, Reordering] = {}
        self._turns: deque[Source] = deque()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sources)

    def all(self) -> list[Source]:
        """Return those that are followed."""
        return list(self._sources.values())

    def on_members(self, members: "Members") -> None:
        """Follow the publishers that are listed, and let those go that are not."""
        if self._is_closed:
            return
        for publisher_id, endpoint in members.items():
            source = self._sources.get(publisher_id)
            if source is None:
                self._open(publisher_id, endpoint)
            else:
                source.is_listed = True
        for source in self.all():
            if source.publisher_id not in members:
                source.is_listed = False
                self._settle(source)

    def take(self) -> tuple[Source, Item] | None:
        """Take the next item, of each publisher that has any in turn."""
        while self._turns:
            source = self._turns.popleft()
            item = source.take()
            source.is_in_turn = source.num_queued > 0
            if source.is_in_turn:
                self._turns.append(source)
            else:
                self._settle(source)
            if item is not None:
                return source, item
        self.filled.clear()
        return None

    def close(self) -> None:
        """Follow nobody. Idempotent."""
        self._is_closed = True
        for source in self.all():
            self._remove(source)
        self.filled.set()

    async def wait_closed(self) -> None:
        """Wait until the tasks of all have ended."""
        while self._closing:
            await asyncio.wait(self._closing)

    def _open(self, publisher_id: bytes, endpoint: str) -> None:
        reordering = self._lost.pop(publisher_id, None) or self._begin(publisher_id)
        try:
            source = Source(
                self._context,
                self._loop,
                publisher_id,
                endpoint,
                prefix=self._prefix,
                reordering=reordering,
                options=self._options,
                on_change=self._on_change,
            )
        except BusductError as error:
            self._on_error(error)
        else:
            self._sources[publisher_id] = source

    def _begin(self, publisher_id: bytes) -> Reordering:
        is_younger = began_after(publisher_id, self._started_ns)
        options = self._options
        return Reordering(
            ALL_RECORDS if is_younger else self._replay,
            options.hwm_messages,
            options.hwm_bytes,
            options.max_keys,
        )

    def _on_change(self, source: Source) -> None:
        if self._is_closed:
            return
        if source.num_queued and not source.is_in_turn:
            source.is_in_turn = True
            self._turns.append(source)
            self.filled.set()
        elif source.is_closed or source.is_gone:
            # NB: whoever calls this is in the middle of changing it.
            self._loop.call_soon(self._settle, source)

    def _settle(self, source: Source) -> None:
        """Let go of a publisher that is gone, when it has nothing more."""
        if self._sources.get(source.publisher_id) is not source:
            return
        if source.is_closed:
            self._remove(source)
        elif source.is_gone and source.parting is None:
            source.parting = self._loop.call_later(
                GRACE_SECONDS, self._part, source, source.num_taken
            )

    def _part(self, source: Source, num_taken: int) -> None:
        source.parting = None
        if not source.is_gone or not source.is_exhausted:
            # It is settled again when it is lost, or when what came has been taken.
            return
        if source.num_taken != num_taken:
            self._settle(source)
        elif source.num_held:
            # Nobody is there to be asked for what is missing before it.
            source.give_up()
        else:
            self._remove(source)

    def _remove(self, source: Source) -> None:
        del self._sources[source.publisher_id]
        if source.is_in_turn:
            source.is_in_turn = False
            self._turns.remove(source)
        self.num_malformed += source.num_malformed
        self._lost[source.publisher_id] = source.reordering
        if len(self._lost) > MAX_LOST_KEPT:
            del self._lost[next(iter(self._lost))]
        if source.parting is not None:
            source.parting.cancel()
        source.close()
        task = self._loop.create_task(source.wait_closed(), name="busduct-topic-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
