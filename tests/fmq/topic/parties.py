"""Topics in one process, each as in a process of its own."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from busduct.fmq._options import QueueOptions
from busduct.fmq._topic._message import TopicMessage
from busduct.fmq._topic._subscription import TopicSubscription
from busduct.fmq.topic import Topic

PATIENCE = 50.0
NAME = "load"


class Hub:
    """A context of its own, and endpoints beside the address of the topic."""

    _numbers = itertools.count()

    def __init__(self, backend: ModuleType, address: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = backend.Context()
        self.address = address
        self.endpoints: list[str] = []
        self.thread = None
        self.is_stale = False
        self.carriers: set[Any] = set()
        self._parts: set[Any] = set()

    def here(self) -> "Hub":
        return self

    def address_of(self, name: str) -> str:
        assert name == NAME
        return self.address

    def data_endpoint(self, name: str) -> str:
        assert name == NAME
        if self.address.startswith("tcp:"):
            endpoint = "tcp://127.0.0.1:0"
        else:
            endpoint = f"ipc://{Path(self.address[6:]).parent}/d{next(self._numbers)}"
        self.endpoints.append(endpoint)
        return endpoint

    def add(self, part: Any, *, is_last: bool = False) -> None:
        assert not is_last
        self._parts.add(part)

    def discard(self, part: Any) -> None:
        self._parts.discard(part)

    async def aclose(self) -> None:
        for part in list(self._parts):
            await part.close()
            part.settle()
        await self.context.aclose()


class Parties:
    """Topic objects of one topic, each with a hub of its own."""

    def __init__(self, backend: ModuleType, address: str) -> None:
        self.backend = backend
        self.address = address
        self.hubs: dict[Topic, Any] = {}

    def topic(self, **options: Any) -> Topic:
        hub: Any = Hub(self.backend, self.address)
        topic = Topic(hub, NAME, QueueOptions(), **options)
        self.hubs[topic] = hub
        return topic

    async def end(self, topic: Topic) -> None:
        """Close a topic and what it is made of."""
        await topic.aclose()
        await self.hubs.pop(topic).aclose()


@asynccontextmanager
async def parties(backend: ModuleType, address: str) -> AsyncIterator[Parties]:
    """Give what makes topics, and close those."""
    found = Parties(backend, address)
    try:
        yield found
    finally:
        for topic in list(found.hubs):
            await found.end(topic)


@asynccontextmanager
async def topics(
    backend: ModuleType, address: str, count: int = 2
) -> AsyncIterator[list[Topic]]:
    """Give so many topic objects, and close them."""
    async with parties(backend, address) as found:
        yield [found.topic() for _ in range(count)]


async def take(subscription: TopicSubscription, count: int) -> list[TopicMessage]:
    return [await subscription.recv() for _ in range(count)]


async def payloads(subscription: TopicSubscription, count: int) -> list[Any]:
    return [message.payload for message in await take(subscription, count)]
