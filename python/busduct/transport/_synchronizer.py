"""Ask a publisher for a fence and for what was missed, whenever that is due."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct.errors import ClosedError, LocalProtocolError, RemoteProtocolError
from busduct.transport._inbox import Inbox
from busduct.transport._patience import Patience
from busduct.transport._records import Batch, Fence, decode_published, fence_topic
from busduct.transport._reordering import Item, Reordering
from busduct.transport._sync_messages import (
    Answer,
    Begin,
    SyncRequest,
    decode_answer,
    decode_begin,
    encode_request,
    new_request,
)

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Synchronizer"]

# Behind the fence, from one answer to the next.
ANSWER_SECONDS = 5.0
FENCE_TOKEN_BYTES = 16
# Requests whose answers may still come.
MAX_PENDING = 4


class Synchronizer:
    """Keep one subscriber's topics in step with its publisher.

    A request is due after each connection, when records are missing, when the publisher
    has begun another life, and once when records have come and then no more: the last
    of them may have been dropped.

    A request whose fence has not come in time is made again under another number. The
    answer to the earlier one counts all the same if it comes: it may be the last thing
    that the publisher has said.

    Args:
        live: The subscriber's SUB socket.
        dealer: The socket connected to the replay endpoint.
        reordering: Takes what is replayed.
        inbox: Gets what comes of that.
        note_malformed: Counts what is no answer.
        replay_timeout: Seconds without an answer after which what is missing is given
            up.
        quiet_interval: Seconds without records after which their end is checked.
    """

    def __init__(
        self,
        live: "Socket",
        dealer: "Socket",
        reordering: Reordering,
        inbox: Inbox,
        *,
        note_malformed: Callable[[Exception], None],
        replay_timeout: float,
        quiet_interval: float,
    ) -> None:
        self.num_syncs = 0
        self.ready = asyncio.Event()
        self._live = live
        self._dealer = dealer
        self._reordering = reordering
        self._inbox = inbox
        self._note_malformed = note_malformed
        self._patience = Patience(replay_timeout)
        self._quiet_interval = quiet_interval
        self._wake = asyncio.Event()
        self._is_due = False
        self._num_live = 0
        self._is_stirred = False
        self._number = 0
        # The last request whose answers are being taken, or have been.
        self._taken = 0
        self._pending: dict[int, SyncRequest] = {}
        # The last request whose fence has come.
        self._fenced = 0
        self._has_fence = asyncio.Event()

    def ask(self, *, is_unready: bool = True) -> None:
        """Have a request made; until it is answered the subscriber is not ready."""
        if is_unready:
            self.ready.clear()
        self._is_due = True
        self._wake.set()

    def note_live(self) -> None:
        """Note that records came live."""
        self._num_live += 1
        if not self._is_stirred:
            self._is_stirred = True
            self._wake.set()

    def note_fence(self, fence: Fence) -> list[Item]:
        """Note a fence; return what comes of its epoch, if the fence is ours."""
        request = self._pending.get(fence.number)
        if request is None or fence.topic != request.fence:
            return []
        self._fenced = max(self._fenced, fence.number)
        self._has_fence.set()
        return self._reordering.see_epoch(fence.epoch)

    async def run(self) -> None:
        """Make requests until cancelled, or until a socket is closed."""
        with suppress(ClosedError):
            while True:
                await self._wait_until_due()
                self._patience.begin(time.monotonic())
                num_blocked = self._inbox.num_blocked
                if await self._attempt():
                    self._patience.succeed()
                    continue
                self._is_due = True
                if self._inbox.num_blocked != num_blocked or self._inbox.is_full:
                    # NB: the fence stands behind what the caller has not taken.
                    await self._inbox.wait_room()
                    self._patience.excuse()
                elif self._patience.fail(time.monotonic()):
                    self._inbox.put(self._reordering.give_up())

    async def _wait_until_due(self) -> None:
        while not self._is_due:
            before = self._num_live
            self._wake.clear()
            try:
                async with asyncio.timeout(
                    self._quiet_interval if self._is_stirred else None
                ):
                    await self._wake.wait()
            except TimeoutError:
                if self._num_live == before:
                    break
        self._is_due = False
        self._is_stirred = False

    async def _attempt(self) -> bool:
        """Make one request; tell whether it was answered in full."""
        request = self._next_request()
        try:
            async with asyncio.timeout(self._patience.seconds):
                await self._dealer.send(encode_request(request))
                await self._wait_fence(min(self._pending))
            number, begin = await self._take_answers()
            while number < request.number:
                async with asyncio.timeout(self._patience.seconds):
                    await self._wait_fence(number + 1)
                number, begin = await self._take_answers()
        except TimeoutError:
            return False
        except RemoteProtocolError as error:
            self._note_malformed(error)
            return False
        if begin.epoch != self._reordering.epoch:
            return False
        self.num_syncs += 1
        if self._reordering.needs_sync:
            self.ask(is_unready=False)
        if not self._is_due:
            self.ready.set()
        return True

    def _next_request(self) -> SyncRequest:
        """Subscribe to the fence of another request, and return that."""
        self._number += 1
        for number in list(self._pending):
            if number <= max(self._taken, self._number - MAX_PENDING):
                with suppress(LocalProtocolError):
                    self._live.unsubscribe(self._pending.pop(number).fence)
        # NB: a topic of its own for each request. One that was subscribed to before
        # could be found in force at a connection that is gone.
        request = new_request(
            self._number,
            self._reordering.epoch,
            fence_topic(secrets.token_bytes(FENCE_TOKEN_BYTES)),
            self._reordering.prefixes(),
            self._reordering.positions(),
        )
        self._live.subscribe(request.fence)
        self._pending[self._number] = request
        return request

    async def _wait_fence(self, number: int) -> None:
        """Wait for the fence of a request, or of a later one, which is behind it."""
        while self._fenced < number:
            self._has_fence.clear()
            await self._has_fence.wait()

    async def _take_answers(self) -> tuple[int, Begin]:
        """Take the answers to a request that is pending, up to the last.

        Returns:
            The number of the request, and the first answer.
        """
        begin: Begin | None = None
        while True:
            is_hopeful = begin is not None or self._fenced == self._number
            seconds = ANSWER_SECONDS if is_hopeful else self._patience.seconds
            async with asyncio.timeout(seconds):
                parts = await self._dealer.recv_multipart()
            kind, number, rest = decode_answer(parts)
            if number not in self._pending:
                continue
            if kind is Answer.BEGIN:
                self._taken = max(self._taken, number)
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._wait_fence(number)
                begin = decode_begin(rest[0])
                self._inbox.put(self._reordering.begin(begin))
            elif begin is None:
                msg = "answer that does not begin at its beginning"
                raise RemoteProtocolError(msg)
            elif kind is Answer.END:
                prefixes = (prefix for prefix, _ in self._pending[number].prefixes)
                self._inbox.put(self._reordering.end(begin, prefixes))
                return number, begin
            else:
                batch = decode_published(rest)
                if isinstance(batch, Batch):
                    self._inbox.put(self._reordering.replayed(batch))
                    await self._inbox.wait_room()
