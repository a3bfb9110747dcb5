"""A topic as it is open in one loop after the other."""

import asyncio

from busduct.errors import LocalProtocolError
from busduct.fmq._hub import Hub
from busduct.fmq._hubs import Hubs
from busduct.fmq._options import QueueOptions
from busduct.fmq._side import Side
from busduct.fmq._topic._local import LocalTopic
from busduct.fmq._topic._options import TopicOptions

__all__ = ["TopicSide"]


class TopicSide(Side):
    """Publishes and subscribes in at most one loop at a time.

    Args:
        hubs: As of `Side`.
        name: Of the topic.
        options: Configured for it.
        topic_options: What it does at its limits.

    Attributes:
        topic_options: As given.
        local: What is open, or was the last time.
    """

    what = "topic"

    def __init__(
        self,
        hubs: Hubs,
        name: str,
        options: QueueOptions,
        topic_options: TopicOptions,
    ) -> None:
        super().__init__(hubs, name, options)
        self.local: LocalTopic | None = None
        self.topic_options = topic_options

    @property
    def opened(self) -> LocalTopic:
        """What is open; in its loop."""
        assert self.local is not None
        return self.local

    def is_here(self) -> bool:
        """Have it open; tell whether that is in the running loop.

        Raises:
            ClosedError: The topic or its `FMQ` is closed.
            ForkedError: It is open in the parent process.
            LocalProtocolError: It is open in another loop of the caller's.
        """
        if self.loop is asyncio.get_running_loop() and not self.is_closed:
            return True
        return self.open_here()

    def require_here(self) -> LocalTopic:
        """Return what is open in the running loop.

        Raises:
            LocalProtocolError: It is open in another loop.
        """
        if self.is_here():
            return self.opened
        msg = (
            f"topic {self.name!r} is in use in the thread of its FMQ; "
            "ask the FMQ for another topic object here"
        )
        raise LocalProtocolError(msg)

    async def close(self) -> None:
        """Give subscribers what they are to have, within the linger."""
        if self.local is not None:
            await self.local.close()

    def settle(self) -> None:
        """Let go of what is left."""
        super().settle()
        if self.local is not None:
            self.local.settle()

    def _open_on(self, hub: Hub) -> None:
        self.local = LocalTopic(hub, self.name, self.topic_options)

    def _forget_parent(self) -> None:
        self.local = None
