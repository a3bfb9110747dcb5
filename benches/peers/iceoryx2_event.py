"""iceoryx2 with its events: a receiver that finds nothing waits to be notified.

The same work as iceoryx2_spin.py, but each message is followed by a notification, and
an idle receiver sleeps in its listener until one comes. (A wait set over one listener
does the same by another call.)
"""

from typing import Any

import iceoryx2_spin
from driver import Task, main


class Link(iceoryx2_spin.Link):
    """One direction of one service, with an event service beside it."""

    def __init__(self, task: Task, name: str) -> None:
        super().__init__(task, name)
        self._event = self.node.service_builder(self.name).event().open_or_create()
        self._bell: Any = None

    def open_sender(self) -> None:
        """Make the sending end, and wait for the other one."""
        self._bell = self._event.notifier_builder().create()
        super().open_sender()

    def open_receiver(self) -> None:
        """Make the receiving end; its listener first, so that no bell is missed."""
        self._bell = self._event.listener_builder().create()
        super().open_receiver()

    def send(self, message: bytes) -> None:
        """Copy a message into a sample, send it and ring."""
        super().send(message)
        self._bell.notify()

    def send_unfilled(self) -> None:
        """Send a sample as it is, and ring."""
        super().send_unfilled()
        self._bell.notify()

    def take(self) -> Any:
        """Take a sample, sleeping until there is one."""
        while (sample := self.poll()) is None:
            self._bell.blocking_wait()
        return sample


class Peer(iceoryx2_spin.Peer):
    """Code that sleeps when nothing is there."""

    link = Link


if __name__ == "__main__":
    main(Peer())
