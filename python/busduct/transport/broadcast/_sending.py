"""Sending to all readers of a broadcast queue: at once, or waiting for the slowest."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from busduct.errors import (
    ClosedError,
    FullError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.transport.broadcast._audience import Audience
from busduct.transport.broadcast._waiting import Waiting, turn_until
from busduct.transport.broadcast._wire import END_MESSAGE

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Sending"]

_log = logging.getLogger("busduct.broadcast")

# Amid a stream of blocking sends that all find room, how often readers are heard.
LOOK_SECONDS: Final = 0.01


class Sending:
    """What is sent, in order, by tasks or by blocking code.

    A message is a buffer, or a list of parts.

    Args:
        context: Of the audience's socket.
        audience: Gets what is sent.
        warn_after: Seconds of waiting after which that is logged; None for never.

    Attributes:
        num_sent: Messages accepted.
        waiting: Those who wait for room, or for readers to join.
    """

    def __init__(
        self, context: "Context", audience: Audience, warn_after: float | None
    ) -> None:
        self.num_sent = 0
        self.waiting = Waiting(warn_after, self._tell)
        self._context = context
        self._audience = audience
        self._socket = audience.socket
        self._is_closed = False
        self._look_due = 0.0
        self._awaited_nbytes = 0
        self._watching: asyncio.Task[None] | None = None

    @property
    def awaited_nbytes(self) -> int:
        """Bytes of a message that waits for room; 0 if none does."""
        return self._awaited_nbytes if self.waiting.seconds else 0

    def put(self, message: Any) -> None:
        """Accept a message now.

        Raises:
            FullError: There is no room, or what else `send` waits for, or tells.
        """
        if not self._audience.is_flowing:
            raise FullError("0 messages without all readers")
        if isinstance(message, list):
            self._socket.send_multipart_nowait(message)
        else:
            self._socket.send_nowait(message)
        self.num_sent += 1

    def send_nowait(self, message: Any) -> None:
        """Accept a message now.

        Raises:
            FullError: There is no room.
            LocalProtocolError: Readers are missing.
        """
        with suppress(FullError):
            self.put(message)
            return
        self.turn()
        self._check()
        if not self._audience.roster.is_complete:
            ranks = _listed(self._audience.roster.missing)
            msg = f"{ranks} of {self._audience.name} has not joined; wait_ready first"
            raise LocalProtocolError(msg)
        self.put(message)

    async def send(self, message: Any) -> None:
        """Accept a message for which `put` had no room, waiting for it."""
        await self.wait_ready()
        send = self._socket.send_multipart if _has_parts(message) else self._socket.send
        self._awaited_nbytes = _nbytes_of(message)
        with self.waiting:
            self._check()
            while not await self._audience.interrupts.wait(send(message)):
                self._check()
        self.num_sent += 1
        self._check_audience()

    def send_blocking(self, message: Any, timeout: float | None) -> None:
        """Accept a message, waiting for readers and for room.

        Raises:
            WaitTimeoutError: There was none in time.
        """
        if time.monotonic() >= self._look_due:
            self._turn()
        if self._try_put(message):
            return
        self._awaited_nbytes = _nbytes_of(message)
        # NB: what others may change would be copied anew at each attempt.
        held = (
            bytes(message) if isinstance(message, bytearray | memoryview) else message
        )

        def attempt() -> bool | None:
            self._audience.look()
            self._check()
            return self._try_put(held) or None

        turn_until(self._context, attempt, self.waiting, timeout)
        self._check_audience()

    async def wait_ready(self) -> None:
        """Wait until all readers have joined."""
        self.watch()
        self._audience.look()
        if not self._audience.roster.is_complete:
            with self.waiting:
                await self._audience.completed.wait()
        self._check()

    def wait_ready_blocking(self, timeout: float | None) -> None:
        """Block until all readers have joined.

        Raises:
            WaitTimeoutError: They have not in time.
        """

        def attempt() -> bool | None:
            self._audience.look()
            self._check()
            return self._audience.roster.is_complete or None

        turn_until(self._context, attempt, self.waiting, timeout)

    def turn(self) -> None:
        """Hear readers, where no loop does."""
        if asyncio._get_running_loop() is None and not self._is_closed:
            self._turn()

    def watch(self) -> None:
        """Have the running loop hear readers from here on."""
        if self._is_closed:
            return
        if self._watching is None or self._watching.done():
            name = f"busduct {self._audience.name}"
            self._watching = asyncio.create_task(self._look_always(), name=name)

    async def end(self, linger: float | None) -> None:
        """Tell readers that nothing follows, and close the socket."""
        self._stop()
        deadline = None if linger is None else time.monotonic() + linger
        try:
            async with asyncio.timeout(linger):
                await self._socket.send_multipart(END_MESSAGE)
        except TimeoutError:
            self._tell_unclean_end()
        except ClosedError:
            pass
        finally:
            self._audience.close(_left(deadline))
            if self._watching is not None and not self._watching.done():
                self._watching.cancel()
                await asyncio.wait((self._watching,))

    def end_blocking(self, linger: float | None) -> None:
        """Do as `end`, and send what is queued."""
        self._stop()
        deadline = None if linger is None else time.monotonic() + linger
        try:
            self._socket.send_multipart_blocking(END_MESSAGE, linger)
        except WaitTimeoutError:
            self._tell_unclean_end()
        except ClosedError:
            pass
        finally:
            self._audience.close(_left(deadline))
            if self._watching is not None:
                self._watching.cancel()
        while self._socket.statistics().num_send_queued and _left(deadline) != 0.0:
            self._context.run_once(_left(deadline))

    def _try_put(self, message: Any) -> bool:
        try:
            self.put(message)
        except FullError:
            return False
        return True

    def _check(self) -> None:
        if self._is_closed:
            raise ClosedError(self._audience.name)
        failure = self._audience.failure
        if failure is not None:
            raise failure

    def _check_audience(self) -> None:
        """Find out that what was accepted went to nobody."""
        self._audience.look()
        failure = self._audience.failure
        if failure is not None and not self._audience.roster.present:
            raise failure

    def _turn(self) -> None:
        self._context.run_once(0.0)
        self._audience.look()
        self._look_due = time.monotonic() + LOOK_SECONDS

    async def _look_always(self) -> None:
        with suppress(ClosedError):
            while True:
                await self._socket.wait_readable()
                self._audience.look()

    def _stop(self) -> None:
        self._is_closed = True
        self.waiting.close()
        self._audience.stop()

    def _tell(self, seconds: float) -> None:
        roster, name = self._audience.roster, self._audience.name
        if not roster.is_complete:
            _log.warning(
                "%s has waited %.1f s for %s to join",
                name,
                seconds,
                _listed(roster.missing),
            )
            return
        _log.warning(
            "%s has waited %.1f s for room at %s", name, seconds, self._blockers()
        )

    def _tell_unclean_end(self) -> None:
        _log.warning(
            "%s ends with no room at %s: readers will take it for lost",
            self._audience.name,
            self._blockers(),
        )

    def _blockers(self) -> str:
        """Name whoever has no room, and what is queued for it."""
        nbytes = self._awaited_nbytes
        full = [
            f"rank {state.rank} ({state.num_queued} items, "
            f"{state.num_queued_bytes} bytes queued)"
            for state in self._audience.describe(nbytes)
            if state.is_full
        ]
        num_strangers = sum(self._audience.strangers(nbytes))
        if num_strangers:
            full.append(f"{num_strangers} peers that are no readers")
        return ", ".join(full) or "no reader, by now"


def _has_parts(message: Any) -> bool:
    return isinstance(message, list)


def _nbytes_of(message: Any) -> int:
    parts = message if _has_parts(message) else [message]
    return sum(memoryview(part).nbytes for part in parts)


def _listed(ranks: list[int]) -> str:
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)
