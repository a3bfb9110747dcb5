"""Send queries when they are due, and measure what comes of them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from busduct._alarm import Alarm
from busduct.endpoint.load._measurements import Measurements
from busduct.errors import ClosedError, FullError
from busduct.messages import Query, QueryResult, StreamChunk

__all__ = ["LoadClient", "LoadGenerator"]

# Results that are looked at between two turns of the loop.
_MAX_BATCH = 256


class LoadClient(Protocol):
    """What is needed of a client; `HTTPEndpointClient` has it."""

    def issue(self, query: Query) -> object:
        """Send a query, without waiting."""

    def drain(self, max_n: int | None = None) -> list[QueryResult | StreamChunk]:
        """Take what has come."""

    async def recv(self) -> QueryResult | StreamChunk | None:
        """Wait for what comes; None if nothing will."""


class LoadGenerator:
    """Sends the queries of one run; made and used on one event loop.

    Queries are sent by the clock and by nothing else, or as others end if there are
    only so many places. Nothing of a query runs in a task of its own.

    Args:
        client: Sends them.
        make_query: Gives the query of a number, from 0.
        offsets: When each is due, in nanoseconds from the start, None for as soon as
            there is a place; the run ends with it.
        max_in_flight: Places for queries under way; None for no bound.
        duration_ns: Nothing is sent that is due later than this; None for no bound.

    Attributes:
        measured: What came of the queries; grows while `run` runs.
    """

    def __init__(
        self,
        client: LoadClient,
        make_query: Callable[[int], Query],
        offsets: Iterator[int | None],
        *,
        max_in_flight: int | None = None,
        duration_ns: int | None = None,
    ) -> None:
        self._client = client
        self._make_query = make_query
        self._offsets = enumerate(offsets)
        self._max_in_flight = max_in_flight
        self._duration_ns = duration_ns
        # The number and the offset of the query that is next.
        self._next: tuple[int, int | None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alarm: Alarm | None = None
        self.measured = Measurements(time.monotonic_ns())

    async def run(self) -> None:
        """Send all, and wait until each has ended or `stop` is called.

        Raises:
            BusductError: The client can send no more.
        """
        reader = asyncio.create_task(self._read_all(), name="load-reader")
        self._alarm = Alarm(self._pump)
        try:
            self.measured = Measurements(time.monotonic_ns())
            self._next = next(self._offsets, None)
            self._pump()
            await asyncio.wait(
                (reader, self._ended), return_when=asyncio.FIRST_COMPLETED
            )
            if reader.done():
                await reader
        finally:
            self._alarm.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        await self._ended

    def stop(self) -> None:
        """End the run now: send no more, and wait for nothing. Idempotent."""
        self._next = None
        self._end(None)

    def _pump(self) -> None:
        """Send what is due and has a place; see to it that it happens again."""
        if self._ended.done():
            return
        try:
            self._send_due()
        except Exception as error:
            self._end(error)
        if self._next is None and not self.measured.num_in_flight:
            self._end(None)

    def _send_due(self) -> None:
        assert self._alarm is not None
        measured = self.measured
        while self._next is not None and self._has_place():
            number, offset = self._next
            now = time.monotonic_ns()
            due = now if offset is None else measured.start_ns + offset
            if self._is_over(due):
                self._next = None
            elif due > now:
                self._alarm.set(due)
                return
            elif self._send(number, due, now):
                self._next = next(self._offsets, None)
            else:
                return

    def _has_place(self) -> bool:
        places = self._max_in_flight
        return places is None or self.measured.num_in_flight < places

    def _is_over(self, due: int) -> bool:
        limit = self._duration_ns
        return limit is not None and due - self.measured.start_ns >= limit

    def _send(self, number: int, due: int, now: int) -> bool:
        query = self._make_query(number)
        try:
            self._client.issue(query)
        except FullError:
            # When one has ended there is room; until then this one is late.
            if not self.measured.num_in_flight:
                raise
            return False
        self.measured.sent(query.id, due, now)
        return True

    def _end(self, failure: BaseException | None) -> None:
        if self._ended.done():
            return
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)

    async def _read_all(self) -> None:
        """Measure what comes; ends only by an error or by being cancelled."""
        client = self._client
        while True:
            items = client.drain(_MAX_BATCH)
            if not items:
                item = await client.recv()
                if item is None:
                    raise ClosedError("client")
                items = [item]
            now = time.monotonic_ns()
            received = self.measured.received
            # NB: not `any`, which would stop at the first that ended.
            if sum([received(item, now) for item in items]):
                self._pump()
            # More may have come meanwhile, and the alarm has its turn too.
            await asyncio.sleep(0)
