"""Where messages come in: taken, given to consumers, or kept waiting at the mark."""

import asyncio
from collections.abc import Callable, Sequence

from busduct.errors import ClosedError
from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._owner import Owner
from busduct.fmq._producer._pressure import Pressure
from busduct.fmq._producer._share import Share
from busduct.fmq._producer._turns import Turns
from busduct.fmq._wire import MAX_RUN_BYTES, Encoded

__all__ = ["Entrance"]

# Messages for one consumer that wait for the end of the turn, so that it goes on
# working while much is put in one.
MAX_WAITING = 32


class Entrance:
    """Puts messages into a ledger, and sends what it gives to consumers.

    The first message of a turn of the loop is sent at once, the others together at its
    end, or when they are many: the socket, too, writes when the turn ends.

    Args:
        ledger: Of the messages.
        owner: Closed when no more are taken.
        read: Takes what consumers have said.

    Attributes:
        turns: Of those who wait for room or something else.
        pressure: Whether who puts has to give way.
    """

    def __init__(self, ledger: Ledger, owner: Owner, read: Callable[[], None]) -> None:
        self.turns = Turns()
        self._ledger = ledger
        self._owner = owner
        self._read = read
        self.pressure = Pressure()
        self._is_sending_soon = False
        # Those with something in their outbox until the end of the turn.
        self._filled: list[Share] = []

    @property
    def is_free(self) -> bool:
        """Whether the next who comes has neither to wait for others nor to give way."""
        return not self.turns.num_waiting and not self.pressure.is_high

    def accept(self, encoded: Encoded, now: float) -> int | None:
        """Take a message; None if there is no room for it.

        Raises:
            BusductError: As of `Ledger.put`; ClosedError.
        """
        loop = self._owner.loop
        if loop is None:
            raise ClosedError("queue")
        ledger = self._ledger
        if (share := ledger.put_through(encoded, now)) is not None:
            if not self._is_sending_soon:
                # NB: before the socket asks to be called, to be called before it.
                loop.call_soon(self._end_turn)
                self._is_sending_soon = True
                share.flush(ledger.num_dropped)
                return ledger.next_msg_id - 1
            num_waiting = len(share.outbox)
            if (
                num_waiting >= MAX_WAITING
                or encoded.nbytes >= MAX_RUN_BYTES
                or not share.is_open
            ):
                share.flush(ledger.num_dropped)
            elif num_waiting == 1:
                self._filled.append(share)
            return ledger.next_msg_id - 1
        msg_id = ledger.put(encoded, now)
        if ledger.has_room_at_consumers:
            self.send()
        self._look_for_room(1, encoded.nbytes)
        return msg_id

    def accept_many(self, messages: Sequence[Encoded], now: float) -> list[int]:
        """Take those of the first ones for which there is room.

        Raises:
            BusductError: As of `accept`.
        """
        msg_ids: list[int] = []
        if self.turns.num_waiting:
            return msg_ids
        nbytes = 0
        for encoded in messages:
            msg_id = self._ledger.put(encoded, now)
            if msg_id is None:
                break
            msg_ids.append(msg_id)
            nbytes += encoded.nbytes
        self.send()
        self._look_for_room(len(msg_ids), nbytes)
        return msg_ids

    async def accept_in_turn(self, encoded: Encoded, now: float) -> int:
        """Take a message when those who came before have had their turn.

        Cancelled: nothing was taken.

        Raises:
            BusductError: As of `accept`.
        """
        if self.pressure.is_high:
            self.pressure.give_way()
            await asyncio.sleep(0)
        return await self.turns.take(lambda: self.accept(encoded, now))

    def send(self) -> None:
        """Send what consumers have room for."""
        if self._filled:
            self.flush()
        for share in self._ledger.assign():
            share.flush(self._ledger.num_dropped)

    def note_change(self) -> None:
        """Be told that something may be sent, or was acknowledged."""
        self.send()
        self.turns.notify()

    def flush(self) -> None:
        """Send what consumers were given in this turn of the loop."""
        filled, self._filled = self._filled, []
        for share in filled:
            share.flush(self._ledger.num_dropped)

    def _end_turn(self) -> None:
        self._is_sending_soon = False
        if self._filled:
            self.flush()

    def _look_for_room(self, num_messages: int, nbytes: int) -> None:
        if self._ledger.is_stuck and self.pressure.add(num_messages, nbytes):
            self._read()
            self.send()
