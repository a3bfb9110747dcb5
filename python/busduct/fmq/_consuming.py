"""The consuming side of a queue, in one loop after the other."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from busduct.errors import WaitTimeoutError
from busduct.fmq._consumer import Consumer
from busduct.fmq._hub import Hub
from busduct.fmq._hubs import Hubs
from busduct.fmq._message import Message
from busduct.fmq._options import QueueOptions
from busduct.fmq._orphans import heirs_of
from busduct.fmq._outlet import Outlet
from busduct.fmq._producing import Producing
from busduct.fmq._side import Side, in_loop_of
from busduct.fmq._wire import Data, Encoded
from busduct.statistics import QueueConsumerStatistics

__all__ = ["Consuming"]


class Consuming(Side):
    """Takes messages.

    What it had not taken when it ends goes back to its producers; what those that had
    ended before had sent it puts into the queue again.

    Args:
        hubs: As of `Side`.
        name: As of `Side`.
        options: As of `Side`.
        decode: As of `Consumer`.

    Attributes:
        consumer: The last; open where the side is.
    """

    def __init__(
        self,
        hubs: Hubs,
        name: str,
        options: QueueOptions,
        decode: Callable[[Data], Any],
    ) -> None:
        super().__init__(hubs, name, options)
        self.consumer: Consumer | None = None
        self._heirs: list[Producing] = []
        self._decode = decode
        self._outlet: Outlet | None = None

    async def get(self, timeout: float | None) -> Message:
        """Take a message, waiting for it; in the loop. Cancelling loses nothing.

        Args:
            timeout: Seconds; None for no bound.

        Raises:
            ClosedError: This side is closed.
            WaitTimeoutError: None came.
        """
        assert self.consumer is not None
        message = self._get_set_aside()
        if message is not None:
            return message
        if timeout is None:
            return await self.consumer.get()
        # Where one is there, no timer is made.
        message = self.consumer.get_nowait()
        if message is not None:
            return message
        try:
            async with asyncio.timeout(timeout):
                return await self.consumer.get()
        except TimeoutError:
            raise WaitTimeoutError(timeout) from None

    def get_at_once(self) -> Message | None:
        """Take a message; None where `get` may have to wait, or look elsewhere."""
        if self._outlet is not None:
            return None
        assert self.consumer is not None
        return self.consumer.get_in_turn()

    async def get_many(self, max_n: int, timeout: float | None) -> list[Message]:
        """Take what is there, at least one message, waiting for it; as `get`."""
        assert self.consumer is not None
        first = await self.get(timeout)
        messages = [first]
        while len(messages) < max_n:
            message = self._get_set_aside()
            if message is None:
                break
            messages.append(message)
        messages += self.consumer.get_many_nowait(max_n - len(messages))
        return messages

    async def get_elsewhere(self, timeout: float | None) -> Message:
        """Take a message, waiting for it; in another loop than that of the side.

        Raises:
            ClosedError: This side is closed.
            WaitTimeoutError: None came.
        """
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        outlet = self._outlet or await asyncio.to_thread(self._get_outlet)
        assert outlet is not None
        with _waking(outlet, lambda: loop.call_soon_threadsafe(event.set)):
            try:
                async with asyncio.timeout(timeout):
                    while (message := outlet.take()) is None:
                        await event.wait()
                        event.clear()
                    return message
            except TimeoutError:
                raise WaitTimeoutError(timeout or 0.0) from None

    def get_blocking(self, timeout: float | None) -> Message:
        """Take a message, waiting for it; in a thread that runs no loop.

        Raises:
            ClosedError: This side is closed.
            ForkedError: It is open in the parent process.
            WaitTimeoutError: None came.
        """
        outlet = self._get_outlet()
        message = outlet.take()
        if message is not None:
            return message
        deadline = None if timeout is None else time.monotonic() + timeout
        event = threading.Event()
        with _waking(outlet, event.set):
            while (message := outlet.take()) is None:
                left = None if deadline is None else max(deadline - time.monotonic(), 0)
                if not event.wait(left):
                    raise WaitTimeoutError(timeout or 0.0)
                event.clear()
        return message

    def get_many_blocking(self, max_n: int, timeout: float | None) -> list[Message]:
        """Take what is ready, at least one message, waiting for it."""
        messages = [self.get_blocking(timeout)]
        outlet = self._get_outlet()
        while len(messages) < max_n and (message := outlet.take()) is not None:
            messages.append(message)
        return messages

    def statistics(self) -> QueueConsumerStatistics:
        """Return what the last consumer counted."""
        if self.consumer is not None:
            return self.consumer.statistics()
        names = QueueConsumerStatistics.__dataclass_fields__
        return QueueConsumerStatistics(**dict.fromkeys(names, 0))

    def recent_errors(self) -> list[Exception]:
        """Return what producers did wrong, and what did not decode."""
        return [] if self.consumer is None else self.consumer.recent_errors()

    def undelivered(self) -> list[Encoded]:
        """Return what was put into the queue again, and no consumer was sent."""
        return [encoded for heir in self._heirs for encoded in heir.undelivered()]

    async def close(self) -> None:
        """Give back what was not taken."""
        if self._outlet is not None:
            await self._outlet.close()
        if self.consumer is not None:
            await self.consumer.close()
            for heir in self._find_heirs():
                if self.hub is not None:
                    heir.resume(self.hub)
                    heir.end_when_done()

    def abandon(self) -> None:
        """Leave all to `settle`."""

    def settle(self) -> None:
        """Keep what nobody else will deliver."""
        super().settle()
        self._outlet = None
        for heir in self._find_heirs():
            self._hubs.carry(heir)

    def _open_on(self, hub: Hub) -> None:
        self.consumer = Consumer(
            hub.context,
            hub.address_of(self.name),
            self.name,
            self.options,
            data_endpoint=hub.data_endpoint(self.name),
            decode=self._decode,
        )

    def _find_heirs(self) -> list[Producing]:
        """Return what will deliver to others what nobody else has."""
        orphans = [] if self.consumer is None else self.consumer.take_orphans()
        heirs = [
            Producing(self._hubs, self.name, self.options, state=state)
            for state in heirs_of(orphans)
        ]
        self._heirs += heirs
        return heirs

    def _get_set_aside(self) -> Message | None:
        """Take what was taken for other threads."""
        return None if self._outlet is None else self._outlet.take()

    def _get_outlet(self) -> Outlet:
        hub = self.open_anywhere()
        return self._outlet or in_loop_of(hub, "fmq outlet", self._open_outlet).wait()

    async def _open_outlet(self) -> Outlet:
        if self._outlet is None:
            assert self.consumer is not None
            assert self.loop is not None
            self._outlet = Outlet(
                self.loop, self.consumer, is_auto=self.options.ack == "auto"
            )
        return self._outlet


@contextmanager
def _waking(outlet: Outlet, wake: Callable[[], object]) -> Iterator[None]:
    """Have `wake` called when messages become ready, during a block."""
    outlet.add_waiter(wake)
    try:
        yield
    finally:
        outlet.remove_waiter(wake)
