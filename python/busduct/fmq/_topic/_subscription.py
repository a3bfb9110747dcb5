"""Receive what all publishers of a topic publish, each one's messages in order."""

import asyncio
import logging
import time
from collections import deque
from typing import Self

from busduct._scopes import AsyncScope
from busduct.errors import (
    ClosedError,
    RemoteProtocolError,
    WaitTimeoutError,
)
from busduct.fmq._directory import Watcher
from busduct.fmq._hub import Hub
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._topic._asking import Interest
from busduct.fmq._topic._keys import key_of, prefix_of
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._packing import unpack
from busduct.fmq._topic._source import Source
from busduct.fmq._topic._sources import Sources
from busduct.fmq._topic._statistics import TopicSubscriptionStatistics
from busduct.transport._ranges import require_at_least
from busduct.transport._reordering import Gap, Record

__all__ = ["TopicSubscription"]

_log = logging.getLogger("busduct.fmq")

NUM_ERRORS_KEPT = 16
# Messages that a task takes before the others have their turn.
MAX_TAKEN_IN_TURN = 256


class TopicSubscription(AsyncScope):
    """Messages of a topic, from here on, of whoever publishes them.

    An asynchronous iterator, and an asynchronous context manager. Messages of one
    publisher and one key come in their order and once; publishers take turns. What a
    publisher does not hold any more is told by `on_gap`, in its place.

    Args:
        hub: Owns the sockets.
        name: Of the topic.
        interest: What to hear of it.
        options: Of the topic.

    Raises:
        ClosedError: The context is closed.
        ConfigError: Not a pattern, or a negative `replay`.
    """

    def __init__(
        self, hub: Hub, name: str, interest: Interest, options: TopicOptions
    ) -> None:
        require_at_least(0, replay=interest.replay)
        prefix = prefix_of(interest.prefix)
        self._name = name
        self._on_gap = interest.on_gap
        self._decode = PayloadDecoder(copy=options.copy)
        self._errors: deque[Exception] = deque(maxlen=NUM_ERRORS_KEPT)
        self._logged: set[str] = set()
        self._num_received = self._num_gaps = self._num_missing = 0
        self._num_callback_errors = 0
        self._num_taken_in_turn = 0
        self._is_closed = False
        self._sources = Sources(
            hub.context,
            hub.loop,
            started_ns=time.time_ns(),
            prefix=prefix,
            replay=interest.replay,
            options=options,
            on_error=self._note,
        )
        self._watcher = Watcher(
            hub.context,
            hub.address_of(name),
            name,
            self._sources.on_members,
            insecure=options.insecure,
        )

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes any more."""
        return self._is_closed

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until what is published from then on by those who are there will arrive.

        Or be told as missing. Who begins to publish later is waited for by nobody: all
        that it publishes arrives. Cancelling is safe.

        Raises:
            ClosedError: This side is closed.
            WaitTimeoutError: It was not so within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._watcher.wait_known()
                while late := [s for s in self._sources.all() if not s.is_ready]:
                    await late[0].wait_ready()
        except TimeoutError:
            raise WaitTimeoutError(timeout or 0.0) from None
        if self._is_closed:
            raise ClosedError("subscription")

    async def recv(self) -> TopicMessage:
        """Take the next message, waiting for it. Cancelling loses nothing.

        Raises:
            ClosedError: This side is closed.
        """
        self._num_taken_in_turn += 1
        if self._num_taken_in_turn > MAX_TAKEN_IN_TURN:
            self._num_taken_in_turn = 0
            await asyncio.sleep(0)
        while (message := self.recv_nowait()) is None:
            self._num_taken_in_turn = 0
            await self._sources.filled.wait()
        return message

    def recv_nowait(self) -> TopicMessage | None:
        """Take the next message; None if there is none.

        Raises:
            ClosedError: This side is closed.
        """
        if self._is_closed:
            raise ClosedError("subscription")
        while (taken := self._sources.take()) is not None:
            source, item = taken
            if isinstance(item, Record):
                if (message := self._read(source, item)) is not None:
                    return message
            elif isinstance(item, Gap):
                self._tell(source, item)
            if self._is_closed:
                break
        return None

    def statistics(self) -> TopicSubscriptionStatistics:
        """Return the counters and what is held."""
        sources = self._sources.all()
        return TopicSubscriptionStatistics(
            num_received=self._num_received,
            num_gaps=self._num_gaps,
            num_missing=self._num_missing,
            num_malformed=self._sources.num_malformed
            + sum(source.num_malformed for source in sources),
            num_callback_errors=self._num_callback_errors,
            num_publishers=len(sources),
            num_ready=sum(source.is_ready for source in sources),
            num_queued=sum(source.num_queued for source in sources),
            num_held=sum(source.num_held for source in sources),
        )

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong, and what callbacks raised, the last 16."""
        links = [e for source in self._sources.all() for e in source.recent_errors()]
        return [*self._watcher.recent_errors(), *links, *self._errors]

    def note_callback_error(self, error: BaseException) -> None:
        """Count what a callback raised, and log it."""
        self._num_callback_errors += 1
        if isinstance(error, Exception):
            self._errors.append(error)
        message = "a callback of topic %s raised"
        _log.error(message, self._name, exc_info=error)

    def close(self) -> None:
        """Stop receiving; messages not taken are gone. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._watcher.close()
            self._sources.close()

    async def aclose(self) -> None:
        """Close, and wait until its tasks have ended."""
        self.close()
        await self._sources.wait_closed()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TopicMessage:
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None

    def _read(self, source: Source, record: Record) -> TopicMessage | None:
        try:
            key = key_of(record.topic)
            data = unpack(record.payload)
            payload = self._decode(data)
        except Exception as error:
            source.note_malformed(error)
            self._log_once(f"a message of {source.producer_id}", error)
            return None
        self._num_received += 1
        return TopicMessage(
            payload,
            msg_id=data.msg_id,
            timestamp=data.timestamp,
            key=key,
            producer_id=source.producer_id,
        )

    def _tell(self, source: Source, gap: Gap) -> None:
        self._num_gaps += 1
        self._num_missing += gap.num_missing
        if self._on_gap is None:
            return
        try:
            self._on_gap(key_of(gap.topic), gap.num_missing)
        except RemoteProtocolError as error:
            source.note_malformed(error)
        except Exception as error:
            self.note_callback_error(error)

    def _note(self, error: Exception) -> None:
        self._errors.append(error)
        self._log_once("a publisher that cannot be followed", error)

    def _log_once(self, what: str, error: Exception) -> None:
        if what not in self._logged and len(self._logged) < NUM_ERRORS_KEPT:
            self._logged.add(what)
            _log.warning("topic %s: %s: %s", self._name, what, error)
