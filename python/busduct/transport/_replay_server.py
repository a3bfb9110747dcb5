"""Answer subscribers that ask for a fence and for what they missed."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct.errors import BusductError, ClosedError, RemoteProtocolError
from busduct.transport._records import PRESENCE_TOPIC, Fence, encode_fence
from busduct.transport._replay_ring import ReplayRing
from busduct.transport._sync_messages import (
    ALL_RECORDS,
    Begin,
    SyncRequest,
    decode_request,
    encode_begin,
    encode_end,
    encode_records,
)

if TYPE_CHECKING:
    from busduct._core import Monitor, Socket

__all__ = ["ReplayServer", "plan_replay"]

MAX_ANSWERS = 256
# More than there are peers: those that are gone are forgotten then.
MAX_ANSWERED = 8192
MAX_MONITOR_EVENTS = 64
ANSWER_RECORDS = 1024
ANSWER_BYTES = 256 << 10
# Within it a subscription must arrive that was made before it was asked about.
FENCE_SECONDS = 10.0
NUM_ERRORS_KEPT = 16


def plan_replay(
    ring: ReplayRing, request: SyncRequest
) -> Iterator[tuple[bytes, int, int]]:
    """Give each topic asked for, where its replay begins, and where it ends."""
    prefixes: dict[bytes, int] = {}
    for prefix, last in request.prefixes:
        prefixes[prefix] = max(last, prefixes.get(prefix, 0))
    lengths = sorted({len(prefix) for prefix in prefixes})
    positions = dict(request.positions) if request.epoch == ring.epoch else {}
    for topic, first_held, head in ring.heads():
        wanted = [last for n in lengths if (last := prefixes.get(topic[:n], -1)) >= 0]
        if not wanted:
            continue
        last = max(wanted)
        if topic in positions:
            start = min(positions[topic], head)
        elif last == ALL_RECORDS:
            start = 0
        else:
            start = max(head - last, first_held)
        yield topic, start, head


class ReplayServer:
    """Serve a publisher's replay endpoint.

    One answer at a time goes to each subscriber: another request of it ends the answer
    to its last one. Answers wait for room at their subscriber, and hold up no other.

    Args:
        live: The socket that fences go over.
        router: The bound socket of the replay endpoint; closed by `close`.
        ring: Of the publisher.
        flush: Hands what is batched to `live`.
        max_request_bytes: Of one request.
    """

    def __init__(
        self,
        live: "Socket",
        router: "Socket",
        ring: ReplayRing,
        flush: Callable[[], None],
        *,
        max_request_bytes: int,
    ) -> None:
        self.num_requests = 0
        self.num_malformed = 0
        self.num_refused = 0
        self.num_replayed = 0
        self.errors: deque[BusductError] = deque(maxlen=NUM_ERRORS_KEPT)
        self._live = live
        self._router = router
        self._ring = ring
        self._epoch = ring.epoch
        self._flush = flush
        self._max_request_bytes = max_request_bytes
        self._answers: dict[bytes, asyncio.Task[None]] = {}
        self._interrupted: dict[bytes, SyncRequest] = {}
        # Of each peer: what had been dropped when its last answer was planned.
        self._answered: dict[bytes, int] = {}
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to serve, or go on if somebody has cancelled it."""
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._serve(), name="busduct-replay-server")
        interrupted, self._interrupted = self._interrupted, {}
        for peer, request in interrupted.items():
            self._begin_answer(peer, request)

    async def wait_in_step(self) -> None:
        """Wait until all subscribers have what is published, or what is held of it.

        That is, each has been answered since it came, and since anything was dropped.
        Cancelling is safe.

        Raises:
            ClosedError: It is closed.
        """
        if self._is_in_step():
            return
        monitor = self._live.monitor(MAX_MONITOR_EVENTS)
        watching = asyncio.create_task(
            self._watch(monitor), name="busduct-replay-links"
        )
        try:
            while not self._is_in_step():
                self._progress.clear()
                await self._progress.wait()
        finally:
            monitor.close()
            await watching

    def close(self) -> None:
        """Stop serving; the loop ends the tasks. Idempotent."""
        self._router.close()
        for task in self._tasks():
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the tasks have ended."""
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _is_in_step(self) -> bool:
        self._forget_lost()
        num_dropped = self._live.statistics().num_dropped
        num_in_step = sum(mark == num_dropped for mark in self._answered.values())
        return self._live.num_subscribers(PRESENCE_TOPIC) <= num_in_step

    def _forget_lost(self) -> None:
        peers = {peer.routing_id for peer in self._router.peers()}
        for peer in self._answered.keys() - peers:
            del self._answered[peer]

    async def _watch(self, monitor: "Monitor") -> None:
        # Whoever goes is waited for no more.
        async for _ in monitor:
            self._progress.set()

    def _tasks(self) -> list[asyncio.Task[None]]:
        tasks = list(self._answers.values())
        return [*tasks, self._task] if self._task else tasks

    async def _serve(self) -> None:
        with suppress(ClosedError):
            while True:
                peer, *parts = await self._router.recv_multipart()
                try:
                    request = decode_request(parts, self._max_request_bytes)
                except RemoteProtocolError as error:
                    self.num_malformed += 1
                    self.errors.append(error)
                else:
                    self.num_requests += 1
                    self._begin_answer(peer, request)

    def _begin_answer(self, peer: bytes, request: SyncRequest) -> None:
        earlier = self._answers.pop(peer, None)
        if earlier is not None:
            earlier.cancel()
        if len(self._answers) >= MAX_ANSWERS:
            # It asks again.
            self.num_refused += 1
            return
        task = asyncio.create_task(self._answer(peer, request), name="busduct-replay")
        self._answers[peer] = task
        task.add_done_callback(lambda done: self._end_answer(peer, request, done))

    def _end_answer(
        self, peer: bytes, request: SyncRequest, task: asyncio.Task[None]
    ) -> None:
        is_last = self._answers.get(peer) is task
        if is_last:
            del self._answers[peer]
        if task.cancelled():
            if is_last:
                # By nobody here: it is begun again if this goes on.
                self._interrupted[peer] = request
            return
        # Gone, or closed, or silent: then there is nobody to answer.
        with suppress(BusductError, TimeoutError):
            task.result()

    async def _answer(self, peer: bytes, request: SyncRequest) -> None:
        async with asyncio.timeout(FENCE_SECONDS):
            await self._live.wait_subscribers(1, request.fence)
        # NB: no other task runs between these, so that the plan ends where the live
        # stream stands at the fence.
        self._flush()
        fence = Fence(request.fence, self._epoch, request.number)
        self._live.send_multipart_nowait(encode_fence(fence))
        num_dropped = self._live.statistics().num_dropped
        plan = list(plan_replay(self._ring, request))
        number, begin = request.number, Begin(self._epoch, plan)
        await self._router.send_multipart([peer, *encode_begin(number, begin)])
        for topic, start, head in plan:
            await self._replay(peer, number, topic, start, head)
        await self._router.send_multipart([peer, *encode_end(number)])
        self._note_answered(peer, num_dropped)

    def _note_answered(self, peer: bytes, num_dropped: int) -> None:
        self._answered[peer] = num_dropped
        self._progress.set()
        if len(self._answered) > MAX_ANSWERED:
            self._forget_lost()

    async def _replay(
        self, peer: bytes, number: int, topic: bytes, start: int, head: int
    ) -> None:
        while batch := self._ring.batch_from(
            topic, start, head, ANSWER_RECORDS, ANSWER_BYTES
        ):
            parts = [peer, *encode_records(number, batch)]
            await self._router.send_multipart(parts)
            self.num_replayed += len(batch.payloads)
            start = batch.first + len(batch.payloads)
            # A send that finds room does not give way.
            await asyncio.sleep(0)
