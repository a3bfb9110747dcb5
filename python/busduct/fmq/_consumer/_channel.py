"""The socket of a consumer: what comes is taken in, and what is done is told."""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import BusductError, ClosedError, FullError, PeerLostError
from busduct.fmq._consumer._intake import Intake
from busduct.fmq._consumer._producer_link import Taken
from busduct.fmq._consumer._watch import Watch, next_future
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import HEADER_BYTES

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["Channel"]

_log = logging.getLogger("busduct.fmq")
_ROUTER = load_backend().ROUTER

# What is taken in before other tasks have their turn: about a millisecond.
MAX_RECEIVED = 256
# What is taken in at the end, for those who sent it and are gone.
MAX_LAST = 65536
MAX_EVENTS = 1024
MAX_ERRORS = 16
# Each message of an exchange told by itself would wake its producer twice as often.
TELL_SECONDS = 0.001
# Until a producer that does not read is told again; acknowledgements add up meanwhile.
RETRY_SECONDS = 0.1
# What producers are still to be told must not keep a program from its end.
MAX_LINGER_SECONDS = 1.0


class Channel:
    """Feeds an `Intake`, and sends what it has to tell.

    Who waits for a message waits for the socket itself, which is the shortest way.
    While nobody does, what comes is taken in all the same: producers that ask are
    answered, and what they send ahead does not wait in their memory.

    Args:
        context: Owns the socket.
        endpoint: To bind.
        options: Of the queue.
        intake: What is fed.

    Attributes:
        endpoint: What is really bound.
        is_closed: Nothing comes any more.
        is_attending: It tells producers soon what is done.
        waiting: Calls that wait.
        is_held_up: It does not receive, because too much is held.

    Raises:
        BusductError: As of `Socket.bind`.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        options: QueueOptions,
        intake: Intake,
    ) -> None:
        self.is_closed = False
        self._intake = intake
        self._loop = asyncio.get_running_loop()
        self.waiting: dict[asyncio.Future[None], None] = {}
        self._num_events_dropped = 0
        self.is_attending = False
        self._is_retrying = False
        self.is_held_up = False
        self._has_logged = False
        self._refusals: deque[BusductError] = deque(maxlen=MAX_ERRORS)
        self._router = _open(context, options)
        self._watch = Watch(self._router, self._on_readable)
        try:
            self.endpoint = self._router.bind(endpoint, insecure=options.insecure)
            self._monitor = self._router.monitor(MAX_EVENTS)
            self._watch.arm()
        except BaseException:
            self._router.close(0.0)
            raise

    def take(self) -> Taken | None:
        """Take in what is there until there is a message, and take that.

        Raises:
            ClosedError: The context is closed.
        """
        intake, taken = self._intake, None
        # NB: one that only says what is not listened to must not keep the caller here.
        for _ in range(MAX_RECEIVED):
            parts = self._router.recv_multipart_lease_nowait()
            if parts is None:
                break
            taken = intake.receive_and_take(parts[0].tobytes(), parts[1:])
            if taken is not None:
                break
        if intake.answers or intake.refusals:
            self._answer()
        return taken

    async def wait(self) -> None:
        """Wait until there may be something to receive, when nothing is held.

        Those who wait are woken in turn. Cancelling is safe.

        Raises:
            ClosedError: It is closed.
        """
        self._watch.disarm()
        waiting = self._router.wait_readable().__await__()
        try:
            # As `await` does, but that `wake_one` can end it.
            while not self._intake.shelf.num_held:
                future = next_future(waiting)
                if future is None:
                    break
                self.waiting[future] = None
                try:
                    await future
                finally:
                    del self.waiting[future]
        except BaseException:
            # It may have been woken for what the socket does not tell of.
            if self._intake.shelf.num_held:
                self.wake_one()
            raise
        finally:
            waiting.close()
            self.attend_soon()

    def wake_one(self) -> None:
        """Wake the first who waits, for something is held that did not come by now."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
                break

    @property
    def is_over(self) -> bool:
        """Whether its context is closed, whether or not it is itself."""
        return self._router.closed

    def note_taken(self) -> None:
        """Go on receiving, where that had stopped because too much was held."""
        if self.is_held_up and self._intake.has_room:
            self.is_held_up = False
            self.attend_soon()

    def attend_soon(self) -> None:
        """Tell producers what is done, and go on receiving, within a millisecond."""
        if not self.is_attending:
            self.is_attending = True
            self._loop.call_later(TELL_SECONDS, self._attend)

    def tell(self) -> None:
        """Tell producers what is done."""
        for link in self._intake.take_news():
            try:
                while (news := link.next_news()) is not None:
                    self._router.send_multipart_nowait([link.routing_id, news])
                    link.note_told()
            except FullError:
                self._intake.put_off(link)
                self._retry_later()
            except PeerLostError:
                continue  # The monitor tells of it too.
            except ClosedError:
                return

    def note_events(self) -> None:
        """Take note of connections that ended.

        Raises:
            ClosedError: It is closed.
        """
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
        """Return what peers did wrong, to the socket and to the queue, 16 of each."""
        errors: list[BusductError] = []
        with suppress(ClosedError):
            errors += self._router.recent_errors()
        return errors + list(self._refusals)

    def close(self) -> None:
        """Tell what is done, and end; who waits gets `ClosedError`. Idempotent."""
        if not self.is_closed:
            self.tell()
            self.is_closed = True
            self._watch.disarm()
            self._router.close(MAX_LINGER_SECONDS)

    def _attend(self) -> None:
        self.is_attending = False
        if self.is_closed:
            return
        self.tell()
        if not self.waiting and not self.is_held_up:
            self._go_on()

    def _on_readable(self) -> None:
        # Somebody who has begun to wait since then is woken too, and has to find it.
        if not self.waiting:
            try:
                self._drain()
            except ClosedError:
                self.is_closed = True
            else:
                self._go_on()

    def _go_on(self) -> None:
        """Hear of what comes, unless too much is held."""
        self.is_held_up = self._intake.is_full
        if not self.is_held_up:
            try:
                self._watch.arm()
            except ClosedError:
                self.is_closed = True

    def _drain(self) -> None:
        intake = self._intake
        self.note_events()
        for _ in range(MAX_RECEIVED):
            if intake.is_full or not self._receive_one():
                break
        if intake.answers or intake.refusals:
            self._answer()

    def drain_last(self) -> None:
        """Take in all that has come, before the end.

        Raises:
            ClosedError: It is closed.
        """
        self.note_events()
        for _ in range(MAX_LAST):
            if not self._receive_one():
                break

    def _receive_one(self) -> bool:
        parts = self._router.recv_multipart_lease_nowait()
        if parts is None:
            # NB: what a lost connection brought has all been taken in.
            self._intake.forget_ended()
            return False
        self._intake.receive(parts[0].tobytes(), parts[1:])
        return True

    def _answer(self) -> None:
        answers, self._intake.answers = self._intake.answers, []
        full: set[bytes] = set()
        for routing_id, answer in answers:
            if routing_id not in full:
                try:
                    self._router.send_multipart_nowait([routing_id, answer])
                    continue
                except FullError:
                    full.add(routing_id)
                except PeerLostError:
                    continue  # One that does not wait misses its answer.
            # In their order: what is given back is told before what is adopted.
            self._intake.answers.append((routing_id, answer))
        if full:
            self._retry_later()
        for error in self._intake.refusals:
            level = logging.DEBUG if self._has_logged else logging.WARNING
            self._has_logged = True
            _log.log(level, "queue %s refuses a producer: %s", self._intake.name, error)
            self._refusals.append(error)
        self._intake.refusals.clear()

    def _retry_later(self) -> None:
        if not self._is_retrying:
            self._is_retrying = True
            self._loop.call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._is_retrying = False
        with suppress(ClosedError):
            self._answer()
        self.tell()


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
