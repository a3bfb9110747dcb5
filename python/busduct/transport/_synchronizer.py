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


class Synchronizer:
    """Keep one subscriber's topics in step with its publisher.

    A request is due after each connection, when records are missing, when the publisher
    has begun another life, and once when records have come and then no more: the last
    of them may have been dropped.

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
        self._topic = b""
        self._fenced = asyncio.Event()

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
        if fence.topic != self._topic or fence.number != self._number:
            return []
        self._fenced.set()
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
        self._number += 1
        self._renew_fence()
        prefixes = list(self._reordering.prefixes())
        request = new_request(
            self._number,
            self._reordering.epoch,
            self._topic,
            prefixes,
            self._reordering.positions(),
        )
        try:
            async with asyncio.timeout(self._patience.seconds):
                await self._dealer.send(encode_request(request))
                await self._fenced.wait()
            begin = await self._take_answers()
        except TimeoutError:
            return False
        except RemoteProtocolError as error:
            self._note_malformed(error)
            return False
        if begin.epoch != self._reordering.epoch:
            return False
        self._inbox.put(self._reordering.end(begin, (prefix for prefix, _ in prefixes)))
        self.num_syncs += 1
        if self._reordering.needs_sync:
            self.ask(is_unready=False)
        if not self._is_due:
            self.ready.set()
        return True

    def _renew_fence(self) -> None:
        # NB: a topic of its own for each request. One that was subscribed to before
        # could be found in force at a connection that is gone.
        self._fenced.clear()
        earlier, self._topic = (
            self._topic,
            fence_topic(secrets.token_bytes(FENCE_TOKEN_BYTES)),
        )
        self._live.subscribe(self._topic)
        if earlier:
            with suppress(LocalProtocolError):
                self._live.unsubscribe(earlier)

    async def _take_answers(self) -> Begin:
        """Take the answers to the request under way, up to the last."""
        begin: Begin | None = None
        while True:
            async with asyncio.timeout(ANSWER_SECONDS):
                parts = await self._dealer.recv_multipart()
            kind, number, rest = decode_answer(parts)
            if number != self._number:
                continue
            if kind is Answer.BEGIN:
                begin = decode_begin(rest[0])
                self._inbox.put(self._reordering.begin(begin))
            elif begin is None:
                msg = "answer that does not begin at its beginning"
                raise RemoteProtocolError(msg)
            elif kind is Answer.END:
                return begin
            else:
                batch = decode_published(rest)
                if isinstance(batch, Batch):
                    self._inbox.put(self._reordering.replayed(batch))
                    await self._inbox.wait_room()
