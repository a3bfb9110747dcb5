"""The socket of a consumer: what comes is taken in, and what is done is told."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import BusductError, ClosedError, FullError, PeerLostError
from busduct.fmq._consumer._intake import Intake
from busduct.fmq._enduring_task import EnduringTask
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import HEADER_BYTES

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["Channel"]

_log = logging.getLogger("busduct.fmq")
_ROUTER = load_backend().ROUTER

# What is taken in before other tasks have their turn: about a millisecond.
MAX_RECEIVED = 256
MAX_EVENTS = 1024
# Until a producer that does not read is told again; acknowledgements add up meanwhile.
RETRY_SECONDS = 0.1
# What producers are still to be told must not keep a program from its end.
MAX_LINGER_SECONDS = 1.0


class Channel:
    """Feeds an `Intake`, and sends what it has to tell.

    Args:
        context: Owns the socket.
        endpoint: To bind.
        options: Of the queue.
        intake: What is fed.
        on_change: Called when messages have come, and when none will any more.

    Attributes:
        endpoint: What is really bound.
        is_closed: Nothing comes any more.

    Raises:
        BusductError: As of `Socket.bind`.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        options: QueueOptions,
        *,
        intake: Intake,
        on_change: Callable[[], None],
    ) -> None:
        self.is_closed = False
        self._intake = intake
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._room: asyncio.Future[None] | None = None
        self._num_received = 0
        self._num_events_dropped = 0
        self._is_tell_due = False
        self._is_retry_due = False
        self._has_logged = False
        self._router = _open(context, options)
        try:
            self.endpoint = self._router.bind(endpoint, insecure=options.insecure)
            self._monitor = self._router.monitor(MAX_EVENTS)
            self._task = EnduringTask(f"fmq-consumer-{intake.name}", self._receive)
        except BaseException:
            self._router.close(0.0)
            raise

    def receive(self) -> bool:
        """Take in what is there until there is a message; tell whether there is one.

        Raises:
            ClosedError: The context is closed.
        """
        intake = self._intake
        # NB: one that only says what is not listened to must not keep the caller here.
        for _ in range(MAX_RECEIVED):
            parts = self._router.recv_multipart_lease_nowait()
            if parts is None:
                break
            intake.receive(parts[0].tobytes(), parts[1:])
            if intake.num_held:
                break
        if intake.answers or intake.refusals:
            self._answer()
        return intake.num_held > 0

    def note_taken(self) -> None:
        """Go on receiving, where that had stopped because too much was held."""
        if self._room is not None and self._intake.has_room:
            self._go_on()

    def tell(self) -> None:
        """Tell producers what is done."""
        for link in self._intake.take_news():
            try:
                while (news := link.next_news()) is not None:
                    self._router.send_multipart_nowait([link.routing_id, news])
                    link.note_told()
            except FullError:
                self._intake.put_off(link)
                self._tell_later()
            except PeerLostError:
                # The monitor tells of it too.
                continue
            except ClosedError:
                return

    def tell_soon(self) -> None:
        """Tell them at the end of the loop's turn at the latest."""
        if not self._is_tell_due:
            self._is_tell_due = True
            self._loop.call_soon(self._on_tell_due)

    def note_events(self) -> None:
        """Take note of connections that ended."""
        while (event := self._monitor.recv_nowait()) is not None:
            if event.kind == "disconnected":
                self._intake.end(event.routing_id)
        if self._monitor.num_dropped != self._num_events_dropped:
            self._num_events_dropped = self._monitor.num_dropped
            alive = {peer.routing_id for peer in self._router.peers()}
            for routing_id in self._intake.routing_ids:
                if routing_id not in alive:
                    self._intake.end(routing_id)

    def errors(self) -> list[BusductError]:
        """Return what peers did wrong below the level of queues, the last 16."""
        return self._router.recent_errors()

    async def close(self) -> None:
        """Tell what is done, and end. Idempotent."""
        if not self.is_closed:
            self.tell()
            self._router.close(MAX_LINGER_SECONDS)
            self._end()
        self._task.cancel()
        await self._task.wait_ended()

    async def _receive(self) -> None:
        """Take in whatever comes, whether or not anybody takes messages meanwhile."""
        try:
            while True:
                if self._intake.is_full:
                    await self._wait_room()
                if self._num_received >= MAX_RECEIVED:
                    self._num_received = 0
                    await asyncio.sleep(0)
                await self._router.wait_readable()
                self._drain()
        except ClosedError:
            self._end()

    def _drain(self) -> None:
        intake = self._intake
        self.note_events()
        while self._num_received < MAX_RECEIVED and not intake.is_full:
            parts = self._router.recv_multipart_lease_nowait()
            if parts is None:
                # NB: what a lost connection brought has all been taken in.
                intake.forget_ended()
                break
            self._num_received += 1
            intake.receive(parts[0].tobytes(), parts[1:])
        if intake.answers or intake.refusals:
            self._answer()
        if intake.num_held:
            self._on_change()

    async def _wait_room(self) -> None:
        self._room = self._loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    def _answer(self) -> None:
        for routing_id, answer in self._intake.answers:
            try:
                self._router.send_multipart_nowait([routing_id, answer])
            except (FullError, PeerLostError):
                # One that asks and does not read, or does not wait, misses the answer.
                continue
        self._intake.answers.clear()
        for error in self._intake.refusals:
            level = logging.DEBUG if self._has_logged else logging.WARNING
            self._has_logged = True
            _log.log(level, "queue %s refuses a producer: %s", self._intake.name, error)
        self._intake.refusals.clear()

    def _on_tell_due(self) -> None:
        self._is_tell_due = False
        self.tell()

    def _tell_later(self) -> None:
        if not self._is_retry_due:
            self._is_retry_due = True
            self._loop.call_later(RETRY_SECONDS, self._on_retry_due)

    def _on_retry_due(self) -> None:
        self._is_retry_due = False
        self.tell()

    def _end(self) -> None:
        self.is_closed = True
        self._go_on()
        self._on_change()

    def _go_on(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _open(context: "Context", options: QueueOptions) -> "Socket":
    """Open the socket, with room for what producers may send ahead."""
    return context.socket(
        _ROUTER,
        hwm_messages=max(1000, options.prefetch_messages * 2),
        hwm_bytes=max(1 << 20, options.prefetch_bytes),
        linger=MAX_LINGER_SECONDS,
        max_message_bytes=options.max_message_bytes + HEADER_BYTES,
        send_buffer_bytes=options.send_buffer_bytes,
        recv_buffer_bytes=options.recv_buffer_bytes,
    )
