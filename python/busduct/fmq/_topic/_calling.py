"""Call a function with each message of a subscription."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from busduct.errors import ClosedError
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._subscription import TopicSubscription

__all__ = ["Callback", "Calling"]

# What it returns is awaited where that can be.
Callback: TypeAlias = Callable[[TopicMessage], Any]


class Calling:
    """A task that takes messages and waits for each call to end.

    What the callback raises is logged and counted, and the next message comes.

    Args:
        loop: Runs the task.
        subscription: Where the messages come from; closed at the end.
        callback: Called with one message at a time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        subscription: TopicSubscription,
        callback: Callback,
    ) -> None:
        self.subscription = subscription
        self._callback = callback
        self._task = loop.create_task(self._run(), name="busduct-topic-callback")

    @property
    def is_over(self) -> bool:
        """Whether no further call comes."""
        return self.subscription.is_closed or self._task.done()

    def close(self) -> None:
        """Take no further message; a call that is under way goes on. Idempotent."""
        self.subscription.close()

    async def wait_closed(self) -> None:
        """Wait until the last call has ended, unless this is called from within it."""
        await self.subscription.aclose()
        if self._task is not asyncio.current_task():
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        with suppress(ClosedError):
            while True:
                message = await self.subscription.recv()
                await self._call(message)

    async def _call(self, message: TopicMessage) -> None:
        try:
            result = self._callback(message)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the callback waited for was cancelled, and not this task.
            self.subscription.note_callback_error(error)
        except Exception as error:
            self.subscription.note_callback_error(error)
