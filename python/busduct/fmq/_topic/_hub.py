"""What a topic asks of whoever makes it."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from busduct.fmq._options import QueueOptions

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["TopicHub", "TopicHubs", "TopicPart"]


class TopicPart(Protocol):
    """What a hub closes at its end."""

    async def close(self) -> None:
        """Hand over what there is, within linger. Idempotent."""

    def settle(self) -> None:
        """Let go of what is left, when the context is closed."""


class TopicHub(Protocol):
    """Where the sockets of one event loop come from."""

    @property
    def context(self) -> "Context":
        """Owns the sockets."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Runs them."""
        ...

    def address_of(self, name: str) -> str:
        """Return the address at which those of a topic find each other."""
        ...

    def data_endpoint(self, name: str) -> str:
        """Return an endpoint that nobody has, for a new publisher to bind.

        A path leaves room for ``.replay``; a port may be 0.
        """
        ...

    def options_of(self, name: str) -> QueueOptions:
        """Return what is configured for a queue or topic."""
        ...

    def add(self, part: TopicPart) -> None:
        """Close `part` at the end."""
        ...

    def discard(self, part: TopicPart) -> None:
        """Forget `part`, which is closed."""
        ...


class TopicHubs(Protocol):
    """Give each event loop its hub."""

    def here(self) -> TopicHub:
        """Return that of the running loop."""
        ...
