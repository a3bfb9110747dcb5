"""Take the messages of a queue, from all of its producers."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from busduct.errors import ClosedError
from busduct.fmq._consumer._channel import Channel
from busduct.fmq._consumer._intake import Intake
from busduct.fmq._consumer._opening import Opener
from busduct.fmq._consumer._producer_link import ProducerLink, Taken
from busduct.fmq._consumer._receipt import Desk, Receipt
from busduct.fmq._directory import Registration
from busduct.fmq._message import Message
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import ID_BYTES, Data
from busduct.statistics import QueueConsumerStatistics

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["Consumer"]

# What may be taken before other tasks have their turn, some milliseconds at most: in
# bytes, with what a message costs whatever its size.
MAX_TAKEN_NBYTES = 4 << 20
MESSAGE_NBYTES = 2048


class Consumer:
    """One consumer of a queue, in one running loop.

    It binds an endpoint of its own and registers it at the queue's address, where
    producers learn of it. Each sends it messages ahead, up to the prefetch of its
    options. What producers send beyond that, as they do at their end, is held up to
    the high-water marks in all; the rest stays where it is.

    A message is delivered once unless its consumer dies, or its connection breaks,
    before the producer knew that it was done with; then again, to whoever is there,
    with `num_deliveries` above 1.

    Args:
        context: Owns the socket; it stays open until the consumer is closed.
        address: Of the queue's directory.
        name: Of the queue.
        options: Of the queue.
        data_endpoint: To bind; with a TCP port of 0 the system chooses one.
        decode: Gives the payload of a message when it is taken. One for which it raises
            is done with, for it would not decode elsewhere either.

    Raises:
        BusductError: As of `Socket.bind`.
        RuntimeError: No loop is running.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        name: str,
        options: QueueOptions,
        data_endpoint: str,
        *,
        decode: Callable[[Data], Any],
    ) -> None:
        self._opener = Opener(decode)
        self._is_manual = options.ack == "manual"
        self._is_closed = False
        consumer_id = os.urandom(ID_BYTES)
        self._intake = Intake(name, consumer_id, options)
        self._ready = self._intake.streak.ready
        self._desk = Desk(self._settle)
        self._orphans: list[Taken] = []
        self._num_got = 0
        self._taken_in_turn = 0
        self._channel = Channel(context, data_endpoint, options, self._intake)
        self._registration = Registration(
            context,
            address,
            name,
            consumer_id,
            self._channel.endpoint,
            insecure=options.insecure,
        )

    @property
    def data_endpoint(self) -> str:
        """Where producers connect."""
        return self._channel.endpoint

    async def wait_registered(self) -> None:
        """Wait until producers can learn of this consumer. Cancelling is safe.

        Raises:
            BusductError: As of `Registration.wait_registered`.
        """
        await self._registration.wait_registered()

    async def get(self) -> Message:
        """Take the next message, waiting for it.

        Producers take turns; one of which many messages are there gives an eighth of
        them in its turn. Cancelling loses nothing. What is there comes without giving
        way to other tasks, but after 2048 messages or 4 MiB they have their turn.

        Raises:
            ClosedError: It is closed.
        """
        if self._taken_in_turn >= MAX_TAKEN_NBYTES:
            self._taken_in_turn = 0
            await asyncio.sleep(0)
        has_waited = False
        while (message := self.get_nowait()) is None:
            await self._wait(has_waited)
            has_waited = True
        return message

    def get_in_turn(self) -> Message | None:
        """Take the next message, as `get`; None where that would give way or wait."""
        ready = self._ready
        if len(ready) > 1 and not self._channel.is_closed:
            # NB: what `get_nowait` does with all but the last of them.
            return ready.popleft()
        if ready or self._taken_in_turn < MAX_TAKEN_NBYTES:
            return self.get_nowait()
        return None

    async def get_many(self, max_n: int, *, acknowledge: bool = True) -> list[Message]:
        """Take what is there, at least one message, waiting for the first; as `get`.

        Args:
            max_n: Messages at most.
            acknowledge: As of `get_nowait`.
        """
        if self._taken_in_turn >= MAX_TAKEN_NBYTES:
            self._taken_in_turn = 0
            await asyncio.sleep(0)
        take, has_waited = self.get_many_nowait, False
        while not (messages := take(max_n, acknowledge=acknowledge)):
            await self._wait(has_waited)
            has_waited = True
        return messages

    def get_nowait(self, *, acknowledge: bool = True) -> Message | None:
        """Take the next message; None if there is none.

        Args:
            acknowledge: Whether, in automatic mode, it is done with at once; otherwise
                once its `_acknowledge` is called.

        Raises:
            ClosedError: It is closed.
        """
        channel, intake = self._channel, self._intake
        if channel.is_closed:
            raise _closed()
        if acknowledge and (
            self._ready or (intake.shelf.num_held > 1 and self._look_ahead())
        ):
            ready_message = self._ready.popleft()
            if not self._ready and intake.end_streak():
                channel.tell()
            return ready_message
        while True:
            taken = intake.take() if intake.shelf.num_held else None
            if taken is None:
                taken = channel.take()
                if taken is None:
                    return None
            self._taken_in_turn += taken[3] + MESSAGE_NBYTES
            message = self._open(taken, acknowledge)
            if channel.is_held_up:
                channel.note_taken()
            if channel.waiting and intake.shelf.num_held:
                # It came with this one, and the socket tells nobody of it any more.
                channel.wake_one()
            if message is not None:
                self._num_got += 1
                return message

    def get_many_nowait(self, max_n: int, *, acknowledge: bool = True) -> list[Message]:
        """Take what is there, an empty list if nothing is; as `get_nowait`."""
        messages: list[Message] = []
        while len(messages) < max_n:
            if messages and self._taken_in_turn >= MAX_TAKEN_NBYTES:
                break
            message = self.get_nowait(acknowledge=acknowledge)
            if message is None:
                break
            messages.append(message)
        return messages

    def statistics(self) -> QueueConsumerStatistics:
        """Return the counters, and what is held."""
        with suppress(ClosedError):
            self._channel.note_events()
        intake = self._intake
        intake.end_streak()
        return QueueConsumerStatistics(
            num_got=self._num_got + intake.streak.num_taken,
            num_acknowledged=intake.num_settled,
            num_unacknowledged=intake.num_unsettled,
            num_returned=intake.num_returned,
            num_prefetched=intake.shelf.num_held,
            prefetched_nbytes=intake.shelf.held_nbytes,
            num_gaps=intake.origins.num_gaps,
            num_redelivered=intake.num_redelivered,
            num_superseded=intake.num_superseded,
            num_malformed=intake.num_malformed,
            num_undecodable=self._opener.num_undecodable,
            num_producers=intake.num_links,
            num_waiting=len(self._channel.waiting),
        )

    def recent_errors(self) -> list[Exception]:
        """Return why producers cannot learn of it, or what they did wrong.

        And why payloads did not decode; the last 16 of each, oldest first.
        """
        return [
            *self._registration.recent_errors(),
            *self._channel.errors(),
            *self._opener.errors,
        ]

    def undelivered(self) -> list[Message]:
        """Take, as messages, what `take_orphans` gives."""
        orphans = self.take_orphans()
        return [m for taken in orphans if (m := self._opener.open(taken)) is not None]

    def take_orphans(self) -> list[Taken]:
        """Take, once it or its context is closed, what nobody will deliver.

        Those are the messages that were not taken, or not done with, and whose producer
        had ended: what others sent goes back to them.
        """
        if self._channel.is_over:
            self._let_go()
        orphans, self._orphans = self._orphans, []
        return orphans

    async def close(self) -> None:
        """Tell producers what is done, and end. Idempotent.

        What was prefetched and not taken, or not acknowledged, goes back to its
        producers. Calls that wait raise `ClosedError`.
        """
        if self._is_closed:
            return
        self._registration.close()
        self._intake.is_ending = True
        self._channel.tell()
        try:
            # Producers that have ended by now are not to be taken for others.
            await asyncio.sleep(0)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Drop everything but what nobody else will deliver."""
        if not self._is_closed:
            self._is_closed = True
            self._registration.close()
            self._intake.is_ending = True
            with suppress(ClosedError):
                self._channel.drain_last()
            self._channel.close()
            self._orphans = self._intake.drop_all()

    def _open(self, taken: Taken, acknowledge: bool) -> Message | None:
        """Make a message of what was taken; None if it does not decode."""
        link, number, _, _ = taken
        try:
            message = self._opener.open(taken)
        except BaseException:
            # The program is about to end, or so: somebody else should have it.
            self._intake.keep(taken)
            self._settle(link, number, is_done=False)
            raise
        if message is None or (acknowledge and not self._is_manual):
            channel = self._channel
            if self._intake.settle_taken(taken):
                channel.tell()
            elif not channel.is_attending:
                channel.attend_soon()
        else:
            self._intake.keep(taken)
            is_manual = self._is_manual
            message._receipt = Receipt(self._desk, link, number, is_manual=is_manual)
        return message

    def _look_ahead(self) -> bool:
        """Make messages ready that can be taken one after the other; if there are."""
        channel, intake = self._channel, self._intake
        link = intake.shelf.next_link
        if link is None or self._is_manual or channel.waiting or channel.is_held_up:
            return False
        num_messages, nbytes = intake.room_for_streak(link)
        messages = self._opener.open_ahead(link, num_messages, nbytes)
        if len(messages) < 2:
            return False
        intake.streak.begin(messages)
        sizes = [MESSAGE_NBYTES + len(each.payload) for each in messages]
        self._taken_in_turn += sum(sizes)
        if not channel.is_attending:
            channel.attend_soon()
        return True

    def _settle(self, link: ProducerLink, number: int, is_done: bool) -> None:
        """Take a receipt."""
        if self._channel.is_closed:
            return
        if not is_done:
            self._intake.give_back(link, number)
            if self._intake.shelf.num_held:
                self._channel.wake_one()
        elif self._intake.settle(link, number):
            self._channel.tell()
            return
        self._channel.attend_soon()

    async def _wait(self, in_vain: bool) -> None:
        """Wait until there may be a message.

        Args:
            in_vain: It was waited for one, and something else came.

        Raises:
            ClosedError: It is closed.
        """
        if in_vain:
            # More of its kind must not keep others waiting.
            await asyncio.sleep(0)
        try:
            await self._channel.wait()
        except ClosedError as error:
            raise _closed() from error


def _closed() -> ClosedError:
    return ClosedError("consumer")
