"""The connections to one endpoint, and the exchanges that wait for one, in order."""

import asyncio
from collections import deque

from busduct.endpoint._http._connector import Connector
from busduct.endpoint._http._errors import connect_error, is_final
from busduct.endpoint._http._interface import Exchange
from busduct.endpoint._http._limits import PoolLimits
from busduct.endpoint._http._protocol import Connection

# That an endpoint closed a connection is seen within a turn of the event loop. One that
# was idle for longer than a turn takes is looked at once more before it is used.
_LOOK_AFTER_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class ConnectionPool:
    """Start exchanges strictly in the order in which they were submitted.

    The connection that was used last is used next. Those that are idle for too long are
    closed by one timer, before the endpoint closes them.

    An exchange of which a byte was written is never started again: the endpoint may
    have processed it, whatever became of the connection. One is if connecting failed
    while it waited, or if the kernel took nothing of it.

    Args:
        connector: Opens connections.
        limits: What to keep to.
    """

    def __init__(self, connector: Connector, limits: PoolLimits) -> None:
        self._connector = connector
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Exchange] = deque()
        self._idle: list[Connection] = []
        # Whose exchange has ended before the response, with the time since when.
        self._ending: dict[Connection, float] = {}
        self._open: set[Connection] = set()
        # Closed by us, but not yet by the event loop.
        self._leaving: set[Connection] = set()
        self._all_left: asyncio.Future[None] | None = None
        self._connecting: set[asyncio.Task[Connection]] = set()
        self._num_wanted = 0
        self._num_failures = 0
        self._pause: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        # Those that are not read from while it is paused.
        self._stopped: set[Connection] = set()
        self._is_closed = False

    @property
    def num_open(self) -> int:
        """Connections that are open."""
        return len(self._open)

    @property
    def num_idle(self) -> int:
        """Connections that are open and carry nothing."""
        return len(self._idle)

    @property
    def num_waiting(self) -> int:
        """Exchanges that have not started."""
        return len(self._waiting)

    def submit(self, exchange: Exchange) -> None:
        """Start an exchange after those that wait, at once if there are none."""
        self._waiting.append(exchange)
        self._serve()

    async def warm_up(self, count: int) -> int:
        """Open connections before they are needed.

        Args:
            count: How many to have; no more than the limit are opened.

        Returns:
            How many are open: less if connecting failed.
        """
        self._num_wanted = min(count, self._limits.max_connections)
        self._grow()
        while self._connecting:
            await asyncio.wait(self._connecting)
        self._num_wanted = 0
        return len(self._open)

    def pause(self) -> None:
        """Start nothing, and let responses wait in the kernel."""
        if not self._is_paused:
            self._is_paused = True
            self._stopped = self._open.difference(self._idle)
            for connection in self._stopped:
                connection.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._is_paused:
            self._is_paused = False
            stopped, self._stopped = self._stopped, set()
            for connection in stopped:
                connection.resume_reading()
            self._serve()

    async def close(self) -> None:
        """Close all connections and wait for it; no exchange hears of it."""
        self._is_closed = True
        self._waiting.clear()
        for timer in (self._pause, self._idle_timer):
            if timer is not None:
                timer.cancel()
        for task in self._connecting:
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        if self._connecting:
            await asyncio.wait(self._connecting)
        if self._leaving:
            self._all_left = self._loop.create_future()
            await self._all_left

    def release(self, connection: Connection) -> None:
        """Take back a connection whose response is whole. For connections."""
        self._ending.pop(connection, None)
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._waiting:
            self._serve()
        if self._idle and self._idle_timer is None:
            self._set_idle_timer(connection.idle_since)

    def note_ending(self, connection: Connection) -> None:
        """Bound how long the rest of a response may take. For connections."""
        now = self._loop.time()
        self._ending[connection] = now
        if self._idle_timer is None:
            self._set_idle_timer(now)

    def discard(self, connection: Connection) -> None:
        """Count on a connection no more. For connections."""
        if connection in self._open:
            self._remove(connection)
            if self._waiting:
                self._serve()

    def forget(self, connection: Connection) -> None:
        """Know that the event loop has closed a connection. For connections."""
        self._leaving.discard(connection)
        if self._all_left is not None and not self._leaving:
            self._all_left.set_result(None)
            self._all_left = None

    def _remove(self, connection: Connection) -> None:
        self._open.remove(connection)
        self._leaving.add(connection)
        self._ending.pop(connection, None)
        self._stopped.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _serve(self) -> None:
        """Start what waits on idle connections; open more if that is not all."""
        while self._waiting and self._idle and not self._is_paused:
            connection = self._idle.pop()
            if not self._start_next(connection):
                # NB: first, so that aborting it does not come back here.
                self._remove(connection)
                connection.abort()
        if self._waiting:
            self._grow()

    def _start_next(self, connection: Connection) -> bool:
        """Start the next exchange; False if the connection is lost."""
        idle_seconds = self._loop.time() - connection.idle_since
        if idle_seconds > _LOOK_AFTER_SECONDS and connection.looks_closed():
            return False
        while self._waiting:
            exchange = self._waiting.popleft()
            request = exchange.take()
            if request is None:
                continue
            if connection.send(exchange, request):
                return True
            self._waiting.appendleft(exchange)
            return False
        self._idle.append(connection)
        return True

    def _grow(self) -> None:
        """Open as many connections as are wanted and allowed."""
        if self._pause is not None or self._is_closed or self._is_paused:
            return
        limits = self._limits
        num_missing = max(len(self._waiting), self._num_wanted - len(self._open))
        num_allowed = limits.max_connections - len(self._open)
        wanted = min(num_missing, num_allowed, limits.max_concurrent_connects)
        while len(self._connecting) < wanted:
            task = self._loop.create_task(
                self._connector.open(self._make), name="http connect"
            )
            self._connecting.add(task)
            task.add_done_callback(self._note_connected)

    def _note_connected(self, task: "asyncio.Task[Connection]") -> None:
        self._connecting.discard(task)
        if task.cancelled():
            return
        if error := task.exception():
            self._note_failure(error)
            return
        connection = task.result()
        if connection.is_lost:
            self._note_failure(ConnectionResetError("closed by the endpoint at once"))
            return
        self._num_failures = 0
        self._open.add(connection)
        if self._is_closed:
            connection.abort()
            return
        self.release(connection)
        self._grow()

    def _make(self) -> Connection:
        limits = self._limits
        return Connection(self, limits.max_header_bytes, limits.max_body_bytes)

    def _note_failure(self, error: BaseException) -> None:
        """Fail what waits in vain; go on connecting after a pause that grows."""
        self._num_wanted = 0
        if self._open or self._connecting:
            # Those may yet carry what waits.
            self._set_pause()
            return
        failed = connect_error(error, self._connector.origin)
        kept: deque[Exchange] = deque()
        given_up: list[Exchange] = []
        for exchange in self._waiting:
            exchange.num_attempts += 1
            is_last = exchange.num_attempts > self._limits.max_retries
            (given_up if is_last or is_final(error) else kept).append(exchange)
        self._waiting = kept
        for exchange in given_up:
            if exchange.take() is not None:
                exchange.fail(failed)
        self._set_pause()

    def _set_pause(self) -> None:
        if self._pause is None and self._waiting and not self._is_closed:
            seconds = _FIRST_PAUSE_SECONDS * 2**self._num_failures
            self._num_failures = min(self._num_failures + 1, 10)
            seconds = min(seconds, _LONGEST_PAUSE_SECONDS)
            self._pause = self._loop.call_later(seconds, self._end_pause)

    def _end_pause(self) -> None:
        self._pause = None
        self._serve()

    def _set_idle_timer(self, since: float) -> None:
        moment = since + self._limits.max_idle_time
        self._idle_timer = self._loop.call_at(moment, self._discard_idle)

    def _discard_idle(self) -> None:
        self._idle_timer = None
        oldest = self._loop.time() - self._limits.max_idle_time
        # Both are in the order of their times: only the first ones are looked at.
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle[0].abort()
        for connection, since in list(self._ending.items()):
            if since > oldest:
                break
            connection.abort()
        times = [each.idle_since for each in self._idle[:1]]
        times += list(self._ending.values())[:1]
        if times:
            self._set_idle_timer(min(times))
