"""One connection of a producer to one consumer, from before it is up until its end."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct.errors import (
    BusductError,
    ClosedError,
    ForkedError,
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from busduct.fmq._enduring_task import EnduringTask
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer._dealer import open_dealer
from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._packing import pack_entries
from busduct.fmq._producer._sent import Sent
from busduct.fmq._producer._share import Entry, Share
from busduct.fmq._wire import (
    HEADER_BYTES,
    MAX_RUN_BYTES,
    VERSION,
    Ack,
    Adopted,
    Goodbye,
    Nack,
    Refusal,
    Welcome,
    encode_control,
    parse_from_consumer,
)

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["HANDSHAKE_SECONDS", "Link"]

# Within which a consumer has to be there and to answer; it may be busy starting.
HANDSHAKE_SECONDS = 30.0
# Messages of a consumer that are read without giving way to other tasks.
_BATCH = 256
_ENDS = frozenset(("disconnected", "handshake_failed", "retried"))


class Link:
    """One DEALER, which knows one connection only.

    What the consumer said before the connection ended still counts. What it did not
    acknowledge goes back to the ledger then.

    Args:
        context: Owns the socket.
        endpoint: Of the consumer.
        on_end: Called once, at the end; with what the consumer did wrong, if it did.
        hello: Said first.
        options: Of the queue.
        ledger: Gives the messages, and gets them back.
        on_change: Called when something may be sent, or was acknowledged.

    Raises:
        ClosedError: The context is closed.
        ConfigError: Not an endpoint.

    Attributes:
        share: What the consumer has; None before it is welcome, and at the end.
        is_connected: Whether there is a connection.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        on_end: Callable[[BusductError | None], None],
        *,
        hello: bytes,
        options: QueueOptions,
        ledger: Ledger,
        on_change: Callable[[], None],
    ) -> None:
        self.share: Share | None = None
        self.is_connected = False
        self._endpoint = endpoint
        self._ledger = ledger
        self._on_change = on_change
        self._on_end = on_end
        self._is_ended = False
        self._sent = Sent()
        self._run_bytes = 0
        self._fault: BusductError | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = open_dealer(context, options)
        try:
            self._monitor = self._socket.monitor()
            self._socket.connect(endpoint, insecure=options.insecure)
            # Goes out when the connection is there.
            self._socket.send_nowait(hello)
        except BaseException:
            self._socket.close(linger=0)
            raise
        self._deadline = self._loop.call_later(HANDSHAKE_SECONDS, self._on_deadline)
        self._tasks: tuple[EnduringTask, ...] = (
            EnduringTask("busduct queue link", self._watch),
            EnduringTask("busduct queue acknowledgements", self._read),
        )

    def drain(self) -> bool:
        """Take what the consumer has said; whether there may be more. Never raises."""
        try:
            for _ in range(_BATCH):
                parts = self._socket.recv_multipart_nowait()
                if parts is None:
                    return False
                self._take(parts)
        except ClosedError:
            return False
        except RemoteProtocolError as error:
            self._fail(error)
            return False
        return True

    def say_goodbye(self) -> None:
        """Ask the consumer to own what it has, if that is anything."""
        if self.share is not None and self.share.entries:
            with suppress(ClosedError):
                self._socket.send_nowait(encode_control(Goodbye()))
                self._sent.note_goodbye(self.share.num_given)

    def close(self, linger: float | None) -> None:
        """End it and take nothing back; messages queued are sent within `linger`."""
        self._stop()
        if self.share is not None and not self._socket.closed:
            num_queued = self._socket.statistics().num_send_queued
            self.share.keep_last(self._num_unsent(self.share, num_queued))
        has_messages = self.share is not None and self.share.entries
        # NB: a greeting to one that is gone is nothing to wait for.
        self._socket.close(linger=linger if has_messages else 0)

    def unsent(self) -> list[Entry]:
        """Return what the closed socket did not send, as far as is known yet."""
        if self.share is None or not self._socket.closed:
            return []
        num_undelivered = self._socket.statistics().num_undelivered
        num_unsent = self._num_unsent(self.share, num_undelivered)
        entries = list(self.share.entries.values())
        return entries[max(len(entries) - num_unsent, 0) :]

    def _send(self, entries: Sequence[Entry], num_skipped: int) -> None:
        share = self.share
        if share is None:
            return
        if self._socket.closed:
            # NB: with its context, perhaps; `unsent` looks there.
            share.outbox[:0] = entries
            return
        num_sent = num_packed = 0
        first = share.num_given - len(entries)
        # Messages of one part, which are cheaper to send together.
        whole: list[bytes] = []
        try:
            for message, count in pack_entries(entries, num_skipped, self._run_bytes):
                if count > 1:
                    self._sent.note_run(first + num_packed, count)
                if type(message) is bytes:
                    whole.append(message)
                    num_packed += count
                    continue
                self._send_whole(whole)
                num_sent = num_packed
                self._socket.send_multipart_nowait(message)  # type: ignore[arg-type]
                num_sent = num_packed = num_packed + count
            self._send_whole(whole)
        except (BusductError, BufferError, TypeError, ValueError) as error:
            self._on_unsent(error, len(entries) - num_sent)

    def _send_whole(self, whole: list[bytes]) -> None:
        if len(whole) == 1:
            self._socket.send_nowait(whole.pop())
        elif whole:
            self._socket.send_many_nowait(whole)
            whole.clear()

    def _num_unsent(self, share: Share, num_last: int) -> int:
        """Return how many messages the last ones of the socket are, and the outbox."""
        num_waiting = len(share.outbox)
        end = share.num_given - num_waiting
        return self._sent.num_messages(num_last, end) + num_waiting

    def _take(self, parts: Sequence[bytes]) -> None:
        message = parse_from_consumer(parts)
        share = self.share
        match message:
            case Ack() if share is not None:
                self._ledger.acknowledge(share, message)
                # What it is done with came after all with lower numbers.
                self._sent.note_arrived(max(message.upto, *message.others, 0))
            case Nack() if share is not None:
                self._ledger.give_back(share, message)
            case Adopted() if share is not None and self._sent.has_goodbyes:
                self._ledger.give_up(share, message)
            case Welcome() if share is None:
                self._welcome(message)
            case Refusal():
                msg = f"refused by the consumer: {message.reason:.200}"
                raise RemoteProtocolError(msg)
            case _:
                msg = f"{type(message).__name__} out of turn"
                raise RemoteProtocolError(msg)

    def _welcome(self, message: Welcome) -> None:
        if message.version != VERSION:
            msg = f"consumer speaks version {message.version}, not {VERSION}"
            raise RemoteProtocolError(msg)
        self._deadline.cancel()
        # The monitor may tell so later.
        self.is_connected = True
        # What its socket takes in one part.
        self._run_bytes = min(MAX_RUN_BYTES, message.max_message_bytes + HEADER_BYTES)
        self.share = Share(
            message.prefetch_messages,
            message.prefetch_bytes,
            message.max_message_bytes,
            self._send,
        )
        self._ledger.add(self.share)

    async def _watch(self) -> None:
        async for event in self._monitor:
            if event.kind == "connected":
                self.is_connected = True
            elif event.kind in _ENDS:
                if isinstance(event.error, RemoteProtocolError):
                    self._fault = event.error
                break
        self._end()

    async def _read(self) -> None:
        with suppress(ClosedError):
            while True:
                await self._socket.wait_readable()
                has_more = self.drain()
                self._on_change()
                if has_more:
                    await asyncio.sleep(0)

    def _on_deadline(self) -> None:
        if self.is_connected:
            self._fail(HandshakeError(self._endpoint, "said no welcome"))
        else:
            self._end()

    def _on_unsent(self, error: Exception, num_unsent: int) -> None:
        """Give the connection up: its numbers are not what the share says any more."""
        share = self.share
        is_misuse = isinstance(error, ForkedError | LocalProtocolError)
        if share is not None and not self._socket.closed and not is_misuse:
            # NB: nobody could be sent it: it would come back for ever.
            self._ledger.discard(share, share.num_given - num_unsent)
        if not isinstance(error, BusductError):
            error = LocalProtocolError(f"cannot send this: {error}")
        self._fail(error)

    def _fail(self, error: BusductError) -> None:
        """End it soon: who calls may be in the middle of the ledger."""
        if self._fault is None:
            self._fault = error
            if self.share is not None:
                self._ledger.suspend(self.share)
            self._socket.close(linger=0)
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        if self._is_ended:
            return
        self._stop()
        if self._socket.closed and self._fault is None:
            # With its context: there is no other way to anybody, and `unsent` tells.
            return
        while self._fault is None and self.drain():
            pass
        if self.share is not None:
            self._ledger.remove(self.share)
        # NB: it refers to the link, which would then last until garbage is collected,
        # and with its socket the memory of what that did not send.
        self.share = None
        self._socket.close(linger=0)
        self._on_end(self._fault)
        # What came back may go to others at once.
        self._on_change()

    def _stop(self) -> None:
        self._is_ended = True
        self.is_connected = False
        self._deadline.cancel()
        for task in self._tasks:
            task.cancel()
        # As below.
        self._tasks = ()
