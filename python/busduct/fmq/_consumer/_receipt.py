"""What a message carries to say that it is done with, in whichever thread."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from busduct.fmq._consumer._producer_link import ProducerLink

__all__ = ["Desk", "Receipt"]

# Is done with the message of that number, or else gives it back.
_Settle: TypeAlias = Callable[[ProducerLink, int, bool], None]


class Desk:
    """Where receipts are handed in; made in the thread and loop of the consumer.

    Args:
        settle: Called in the loop for each that is.
    """

    def __init__(self, settle: _Settle) -> None:
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._elsewhere: deque[tuple[ProducerLink, int, bool]] = deque()
        self._is_called = False

    def hand_in(self, link: ProducerLink, number: int, *, is_done: bool) -> None:
        """Settle a message, or give it back; from another thread, soon."""
        if threading.get_ident() == self._thread:
            self._settle(link, number, is_done)
            return
        self._elsewhere.append((link, number, is_done))
        if not self._is_called:
            self._is_called = True
            # A loop that is closed has closed the consumer.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._on_called)

    def _on_called(self) -> None:
        # NB: first, so that whoever adds one from here on calls again.
        self._is_called = False
        while self._elsewhere:
            self._settle(*self._elsewhere.popleft())


class Receipt:
    """The right to settle one message.

    Args:
        desk: Of the consumer.
        link: What the message came by.
        number: Its number there.
        is_manual: Whether that is the application's to do.
    """

    __slots__ = ("_desk", "_link", "_number", "is_manual")

    def __init__(
        self, desk: Desk, link: ProducerLink, number: int, *, is_manual: bool
    ) -> None:
        self._desk = desk
        self._link = link
        self._number = number
        self.is_manual = is_manual

    def settle(self) -> None:
        """Say that the message is done with. Only the first call of either counts."""
        self._desk.hand_in(self._link, self._number, is_done=True)

    def give_back(self) -> None:
        """Say that somebody else should have the message."""
        self._desk.hand_in(self._link, self._number, is_done=False)
