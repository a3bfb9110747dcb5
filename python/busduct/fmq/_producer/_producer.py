"""Put messages into a queue, and hold each until a consumer is done with it."""

import asyncio
from asyncio import _get_running_loop
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from types import EllipsisType
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.errors import BusductError
from busduct.fmq._directory import Watcher
from busduct.fmq._enduring_task import EnduringTask
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer._entrance import Entrance
from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._link import Link
from busduct.fmq._producer._owner import Owner
from busduct.fmq._producer._peers import Peers
from busduct.fmq._producer._state import ProducerState
from busduct.fmq._producer._unwanted import Unwanted
from busduct.fmq._wire import VERSION, Encoded, Hello, encode_control
from busduct.statistics import QueueProducerStatistics

if TYPE_CHECKING:
    from busduct._core import Context, Loan

__all__ = ["Producer"]

# Who computes meanwhile may answer later, and finds at its own end that this one ended.
GOODBYE_SECONDS = 1.0


class Producer:
    """One producer of a queue, on the running loop.

    Each message goes to the consumer that has the fewest not acknowledged, over a
    connection of its own. Nothing is sent to a consumer beyond what it takes ahead of
    its acknowledgements; the rest waits here, and so does everything before there is a
    consumer. What a lost consumer had not acknowledged goes to others, before all that
    was put later.

    Args:
        context: Owns the sockets.
        address: Of the queue.
        name: Of the queue.
        options: Its settings.
        state: Of a producer that this one goes on for; its messages come first.
        watch: Makes what tells of the consumers.

    Raises:
        ClosedError: The context is closed.
        ConfigError: Not an address, or an option out of its range.
        RuntimeError: No loop is running.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        name: str,
        options: QueueOptions,
        *,
        state: ProducerState | None = None,
        watch: Callable[..., Watcher] = Watcher,
    ) -> None:
        state = state or ProducerState()
        self._linger = options.linger
        self._producer_id = state.producer_id
        self._owner = Owner()
        self._unwanted = Unwanted(name)
        self._ledger = Ledger(options, state, self._unwanted.note)
        self._entrance = Entrance(self._ledger, self._owner, self._read)
        self._closing: EnduringTask | None = None
        self._deadline: float | None = None
        open_link = partial(
            Link,
            context,
            hello=encode_control(Hello(VERSION, name, state.producer_id)),
            options=options,
            ledger=self._ledger,
            on_change=self._entrance.note_change,
        )
        self._peers = Peers(name, open_link)
        # Lends before there is a consumer, too; never connected.
        self._lender = context.socket(load_backend().PAIR, linger=0.0)
        try:
            self._watcher = watch(
                context, address, name, self._peers.update, insecure=options.insecure
            )
        except BaseException:
            self._lender.close()
            raise

    @property
    def next_msg_id(self) -> int:
        """The id of the next message."""
        return self._ledger.next_msg_id

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._owner.closed

    async def put(self, encoded: Encoded) -> int:
        """Take a message, waiting for room where `on_full` is "wait".

        Where there is room it does not give way to other tasks, but now and then while
        consumers have no room. Cancelled: nothing was taken.

        Returns:
            The id of the message; it was dropped if `on_full` is "drop_new" and there
            was no room.

        Raises:
            ClosedError: This side is closed, or was before there was room.
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: No room, and `on_full` is "error".
            LocalProtocolError: Another loop than its own.
        """
        if _get_running_loop() is not self._owner.loop:
            self._owner.check()
        now = time()
        entrance = self._entrance
        if entrance.is_free:
            msg_id = entrance.accept(encoded, now)
            if msg_id is not None:
                return msg_id
        return await entrance.accept_in_turn(encoded, now)

    def try_put(self, encoded: Encoded) -> int | None:
        """Take a message if its putter has neither to wait nor to give way.

        NB: for those who know that they run in its loop, which takes as long to check
        as a good part of the rest.

        Returns:
            The id of the message; None for `put` to be called.

        Raises:
            BusductError: As of `put`.
        """
        entrance = self._entrance
        # NB: `is_free`, written out.
        if entrance.turns.num_waiting or entrance.pressure.is_high:
            return None
        return entrance.accept(encoded, time())

    def put_nowait(self, encoded: Encoded) -> int:
        """Take a message at once.

        Raises:
            FullError: No room, or others wait for it; and as `put`.
        """
        self._owner.check()
        if not self._entrance.turns.num_waiting:
            msg_id = self._entrance.accept(encoded, time())
            if msg_id is not None:
                return msg_id
        raise self._ledger.marks.full_error()

    async def put_many(self, messages: Sequence[Encoded]) -> list[int]:
        """Take messages in order, waiting for room as `put`.

        Cancelled, or closed, while it waits: a prefix was taken.

        Raises:
            FrameTooLargeError: One of them is; nothing was taken.
            FullError: Not all of them fit, and `on_full` is "error"; nothing was taken.
        """
        self._owner.check()
        for encoded in messages:
            self._ledger.marks.check(encoded)
        nbytes = sum(encoded.nbytes for encoded in messages)
        self._ledger.require_room(len(messages), nbytes)
        now = time()
        msg_ids = self._entrance.accept_many(messages, now)
        for encoded in messages[len(msg_ids) :]:
            msg_ids.append(await self._entrance.accept_in_turn(encoded, now))
        return msg_ids

    def room(self) -> tuple[int, int]:
        """Return the messages and bytes that `put_nowait` takes at once.

        Nothing where somebody waits. Where `on_full` drops, what is held at most.
        """
        if self._entrance.turns.num_waiting or self._owner.closed:
            return 0, 0
        return self._ledger.room()

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put has been sent to a consumer.

        Returns:
            Whether it has, within `timeout` seconds. Cancelling is safe.

        Raises:
            ClosedError: This side was closed before.
        """
        is_sent = await self._entrance.turns.until(
            lambda: not self._ledger.num_pending, timeout
        )
        self._entrance.flush()
        return is_sent

    async def wait_acknowledged(self, timeout: float | None = None) -> bool:
        """Wait until consumers are done with all that was put; as `flush`.

        Raises:
            ClosedError: This side was closed before.
        """
        return await self._entrance.turns.until(lambda: self._ledger.is_empty, timeout)

    def loan(self, nbytes: int) -> "Loan":
        """Lend memory for a body or a part; as `Socket.loan`.

        Raises:
            ClosedError: This side is closed.
        """
        return self._lender.loan(nbytes)

    async def close(self, linger: float | EllipsisType | None = ...) -> None:
        """Take no more; hand over what it holds, however little consumers take ahead.

        What was sent is the consumers'; what was not, `undelivered` tells. Idempotent:
        a second call waits for the first. Cancelled, it goes on all the same.

        Args:
            linger: Seconds instead of those of the options; None for no bound.
        """
        if self._closing is None:
            seconds = self._linger if linger is ... else linger
            if seconds is not None:
                self._deadline = asyncio.get_running_loop().time() + seconds
            self._owner.close()
            self._ledger.ignore_windows()
            # Whoever waits for room learns of it.
            self._entrance.note_change()
            self._closing = EnduringTask("fmq-producer-close", self._hand_over)
        await self._closing.wait_ended()

    def abandon(self) -> None:
        """End at once, when the loop runs no more: nothing further is handed over."""
        self._owner.close()
        self._watcher.close()

    def undelivered(self) -> list[Encoded]:
        """Return what no consumer was sent, the oldest first.

        Complete once this is closed and its context, too: until then sockets may go on
        sending.
        """
        return [entry.encoded for entry in self.take_state().messages]

    def take_state(self) -> ProducerState:
        """Return what a producer needs to go on for this one; as `undelivered`."""
        return self._ledger.state(self._producer_id, self._peers.unsent())

    def statistics(self) -> QueueProducerStatistics:
        """Return the counters and what is held."""
        ledger = self._ledger
        return QueueProducerStatistics(
            num_put=ledger.num_put,
            num_acknowledged=ledger.num_acknowledged,
            num_pending=ledger.num_pending,
            pending_nbytes=ledger.pending_nbytes,
            num_unacknowledged=ledger.num_unacknowledged,
            num_adopted=ledger.num_adopted,
            num_dropped=ledger.num_dropped,
            num_redelivered=ledger.num_redelivered,
            num_consumers=ledger.num_shares,
            num_faults=self._peers.num_faults,
            num_waiting=self._entrance.turns.num_waiting,
            num_unwanted=ledger.num_unwanted,
        )

    def recent_errors(self) -> list[BusductError]:
        """Return why there are no consumers, what those there are did wrong or refuse.

        The last 16 of each, oldest first.
        """
        told = self._watcher.recent_errors()
        return [*told, *self._peers.errors, *self._unwanted.errors]

    def _read(self) -> None:
        self._peers.drain()

    async def _hand_over(self) -> None:
        turns, ledger = self._entrance.turns, self._ledger
        while await turns.until(lambda: not ledger.num_pending, self._time_left()):
            self._peers.say_goodbye()
            # What a consumer has that ends now comes back, to go to another one.
            await turns.until(
                lambda: ledger.is_empty or ledger.num_pending > 0,
                self._time_left(GOODBYE_SECONDS),
            )
            if not ledger.num_pending:
                break
        turns.is_over = True
        turns.notify()
        self._watcher.close()
        self._peers.close(self._time_left())
        self._lender.close()

    def _time_left(self, most: float | None = None) -> float | None:
        if self._deadline is None:
            return most
        left = max(self._deadline - asyncio.get_running_loop().time(), 0.0)
        return left if most is None else min(left, most)
