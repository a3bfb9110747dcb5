"""A reader's side of a broadcast queue: joining, what the writer says, its end."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from busduct._backend import load_backend
from busduct.errors import (
    BusductError,
    ClosedError,
    HandshakeError,
    LocalProtocolError,
    MalformedFrameError,
    PeerLostError,
)
from busduct.transport.broadcast._handle import BroadcastHandle
from busduct.transport.broadcast._items import ItemParts
from busduct.transport.broadcast._waiting import Waiting, turn_until
from busduct.transport.broadcast._wire import (
    ITEM_HEADER,
    ControlKind,
    confirmation_of,
    decode_control,
    encode_announcement,
)

if TYPE_CHECKING:
    from busduct._core import Context, Lease
    from busduct.monitor import MonitorEvent

__all__ = ["ReaderLink"]

T = TypeVar("T")

_backend = load_backend()
_log = logging.getLogger("busduct.broadcast")

# Either side may load a model for minutes before it looks at its sockets again.
JOIN_SECONDS: Final = 3600.0
# NB: a link that is lost stays so: over another one, items would be missing.
NEVER_SECONDS: Final = 1e9
_DOWN_KINDS: Final = frozenset(
    ("disconnected", "handshake_failed", "refused", "retried")
)


class ReaderLink:
    """The connection of one reader to its writer; there is never a second one.

    Args:
        context: Owns the socket.
        handle: Of the queue.
        rank: As the reader wants to be called; None to leave that to the writer.
        hwm_messages: As of `Context.socket`.
        hwm_bytes: As of `Context.socket`.
        warn_after: Seconds of waiting after which that is logged; None for never.

    Attributes:
        socket: A SUB.
        handle: Of the queue.
        rank: As the writer calls it, once it has joined.
        is_joined: The writer counts it among its readers.
        num_malformed: Messages that no writer sends.
        waiting: Those who wait for items.

    Raises:
        ConfigError: A value out of its range, or not an endpoint.
        ClosedError: The context is closed.
    """

    def __init__(
        self,
        context: "Context",
        handle: BroadcastHandle,
        rank: int | None,
        *,
        hwm_messages: int,
        hwm_bytes: int,
        warn_after: float | None,
    ) -> None:
        self.handle = handle
        self.rank = rank
        self.is_joined = False
        self.num_malformed = 0
        self.waiting = Waiting(warn_after, self._tell)
        self._context = context
        self._name = encode_announcement(handle.token_bytes, rank)
        self._watching: asyncio.Task[None] | None = None
        self._is_down = False
        # Makes the error: one that is raised again and again would gather tracebacks.
        self._end: Callable[[], BusductError] | None = None
        self.socket = context.socket(
            _backend.SUB,
            on_full="wait",
            routing_id=self._name,
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=handle.max_message_bytes,
            handshake_timeout=JOIN_SECONDS,
            reconnect_interval=NEVER_SECONDS,
            reconnect_max=NEVER_SECONDS,
        )
        try:
            self._monitor = self.socket.monitor()
            self.socket.subscribe(self._name)
            self.socket.connect(handle.endpoint)
        except BaseException:
            self.socket.close(0)
            raise

    @property
    def queue_name(self) -> str:
        """What the queue is called in messages."""
        return f"broadcast queue {self.handle.endpoint}"

    def poll(self, take: Callable[[], T | None]) -> "T | ItemParts | None":
        """Take what is there; None if there is nothing yet.

        Args:
            take: Takes items of one part from the socket.

        Raises:
            ClosedError: This side is closed, or the writer closed and all was taken.
            HandshakeError: The writer refused, or nobody listens there.
            PeerLostError: The writer is gone, and all was taken.
        """
        if self._end is not None:
            raise self._end()
        try:
            if not self.is_joined:
                self._take_verdict()
            found = self._take(take) if self.is_joined else None
        except ClosedError:
            if self._end is None:
                raise
            raise self._end() from None
        if found is None and self._is_down:
            self._finish(self._loss)
            raise self._loss()
        return found

    def turn(self) -> None:
        """Do what is ready, where no loop does."""
        if asyncio._get_running_loop() is None:
            self._context.run_once(0.0)
            self._look()

    async def wait(self, take: Callable[[], T | None]) -> "T | ItemParts":
        """Take what is there, waiting for it; as `poll`. Cancelling loses nothing."""
        if (found := self.poll(take)) is not None:
            return found
        self._watch()
        with self.waiting:
            while True:
                # Whoever closed the socket said why: the next poll tells.
                with suppress(ClosedError):
                    await self.socket.wait_readable()
                later = self.poll(take)
                if later is not None:
                    return later

    def block(
        self, take: Callable[[], T | None], timeout: float | None
    ) -> "T | ItemParts":
        """Take what is there, waiting for it at most `timeout` seconds; as `poll`.

        Raises:
            WaitTimeoutError: Nothing came.
        """

        # NB: of what it is, mypy makes an object.
        def attempt() -> Any:
            self._look()
            return self.poll(take)

        found: T | ItemParts | None = self.poll(take)
        if found is None:
            found = turn_until(self._context, attempt, self.waiting, timeout)
        return found

    def close(self) -> None:
        """Leave the queue. Idempotent."""
        if self._end is None:
            self._finish(lambda: ClosedError("broadcast reader"))
        if self._watching is not None:
            self._watching.cancel()

    async def wait_closed(self) -> None:
        """Wait until what `close` began has ended."""
        if self._watching is not None and not self._watching.done():
            await asyncio.wait((self._watching,))

    def _take(self, take: Callable[[], T | None]) -> "T | ItemParts | None":
        while True:
            try:
                return take()
            except LocalProtocolError:
                # The next message has several parts; or this fails in the same way.
                parts = self.socket.recv_multipart_lease_nowait()
            if parts is None:
                return None
            item = self._obey(parts)
            if item is not None:
                return item

    def _take_verdict(self) -> None:
        while not self.is_joined:
            parts = self.socket.recv_multipart_lease_nowait()
            if parts is None:
                return
            self._obey(parts)

    def _obey(self, parts: "list[Lease]") -> ItemParts | None:
        """Do what a message of several parts says; return the item if it is one."""
        header = bytes(parts[0])
        if header == ITEM_HEADER and self.is_joined:
            return ItemParts(parts[1:])
        try:
            control = decode_control([header, *map(bytes, parts[1:])])
        except MalformedFrameError:
            self.num_malformed += 1
            return None
        if control.kind is ControlKind.END:
            self._finish(lambda: ClosedError(self.queue_name))
        elif control.name == self._name and not self.is_joined:
            if control.kind is ControlKind.WELCOME:
                self._join(control.rank)
            else:
                reason = control.reason
                self._finish(lambda: HandshakeError(self.handle.endpoint, reason))
        return None

    def _join(self, rank: int) -> None:
        self.rank = rank
        self.is_joined = True
        self.socket.subscribe(b"")
        self.socket.subscribe(confirmation_of(self._name))

    def _loss(self) -> BusductError:
        if self.is_joined:
            return PeerLostError(self.queue_name)
        reason = "nobody listens there: it has all its readers, is closed, or is gone"
        return HandshakeError(self.handle.endpoint, reason)

    def _finish(self, end: Callable[[], BusductError]) -> None:
        self._end = end
        self.waiting.close()
        self.socket.close(0)

    def _look(self) -> None:
        """Take what happened to the connection."""
        with suppress(ClosedError):
            while (event := self._monitor.recv_nowait()) is not None:
                self._note(event)

    def _note(self, event: "MonitorEvent") -> None:
        if event.kind in _DOWN_KINDS:
            self._is_down = True
            # NB: those who wait for what is there are about to take it, and look again.
            if self._end is None and not self.socket.readable:
                self._finish(self._loss)

    def _watch(self) -> None:
        """Have the running loop hear of the writer's death."""
        if self._watching is None or self._watching.done():
            name = f"busduct reader of {self.handle.endpoint}"
            self._watching = asyncio.create_task(self._note_all(), name=name)

    async def _note_all(self) -> None:
        async for event in self._monitor:
            self._note(event)

    def _tell(self, seconds: float) -> None:
        who = "a reader" if self.rank is None else f"the reader of rank {self.rank}"
        what = "an item" if self.is_joined else "the writer to let it join"
        told = (who, self.queue_name, seconds, what)
        _log.info("%s of %s has waited %.1f s for %s", *told)
