"""Where messages come in: taken, given to consumers, or kept waiting at the mark."""

import asyncio
from collections.abc import Callable, Sequence

from busduct.fmq._producer._ledger import Ledger
from busduct.fmq._producer._owner import Owner
from busduct.fmq._producer._pressure import Pressure
from busduct.fmq._producer._turns import Turns
from busduct.fmq._wire import Encoded

__all__ = ["Entrance"]


class Entrance:
    """Puts messages into a ledger, and sends what it gives to consumers.

    Args:
        ledger: Of the messages.
        owner: Closed when no more are taken.
        read: Takes what consumers have said.

    Attributes:
        turns: Of those who wait for room or something else.
    """

    def __init__(self, ledger: Ledger, owner: Owner, read: Callable[[], None]) -> None:
        self.turns = Turns()
        self._ledger = ledger
        self._owner = owner
        self._read = read
        self._pressure = Pressure()

    @property
    def is_free(self) -> bool:
        """Whether the next who comes has neither to wait for others nor to give way."""
        return not self.turns.num_waiting and not self._pressure.is_high

    def accept(self, encoded: Encoded, now: float) -> int | None:
        """Take a message; None if there is no room for it.

        Raises:
            BusductError: As of `Ledger.put`; ClosedError.
        """
        if self._owner.loop is None:
            self._owner.check()
        ledger = self._ledger
        if (delivery := ledger.put_through(encoded, now)) is not None:
            share, entry = delivery
            share.send((entry,), ledger.num_dropped)
            return entry.msg_id
        msg_id = ledger.put(encoded, now)
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
        if self._pressure.is_high:
            self._pressure.give_way()
            await asyncio.sleep(0)
        return await self.turns.take(lambda: self.accept(encoded, now))

    def send(self) -> None:
        """Send what consumers have room for."""
        for share in self._ledger.assign():
            share.flush(self._ledger.num_dropped)

    def note_change(self) -> None:
        """Be told that something may be sent, or was acknowledged."""
        self.send()
        self.turns.notify()

    def _look_for_room(self, num_messages: int, nbytes: int) -> None:
        if self._ledger.is_stuck and self._pressure.add(num_messages, nbytes):
            self._read()
            self.send()
