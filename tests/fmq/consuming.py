"""One consumer and its producers, for the tests of a consumer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.fmq.raw_producer import NAME, RawProducer
from tests.transport.waiting import eventually

from busduct.fmq._consumer import Consumer
from busduct.fmq._options import QueueOptions
from busduct.fmq._payload import PayloadDecoder
from busduct.fmq._wire import Welcome

# What queues do with bytes.
as_bytes = PayloadDecoder()


class Scene:
    """A consumer in one context, and producers in another.

    Attributes:
        consumer: The one that is tested.
        endpoint: Where producers connect.
    """

    def __init__(self, backend: ModuleType, contexts: Any, directory: Path) -> None:
        self.backend = backend
        self.own, self.other = contexts
        self.directory = directory
        self.producers: list[RawProducer] = []
        self.consumers: list[Consumer] = []

    @property
    def consumer(self) -> Consumer:
        return self.consumers[0]

    def consume(
        self, decode: Any = as_bytes, transport: str = "ipc", **options: Any
    ) -> Consumer:
        """Make a consumer; over TCP only producers speak with it."""
        number = len(self.consumers)
        is_tcp = transport == "tcp"
        endpoint = f"ipc://{self.directory}/data-{number}"
        consumer = Consumer(
            self.own,
            f"ipc://{self.directory}/queue",
            NAME,
            QueueOptions(**options),
            "tcp://127.0.0.1:0" if is_tcp else endpoint,
            decode=decode,
        )
        self.consumers.append(consumer)
        return consumer

    def stranger(self, producer_id: bytes | None = None) -> RawProducer:
        """Connect somebody who has said nothing yet."""
        endpoint = self.consumer.data_endpoint
        producer = RawProducer(self.backend, self.other, endpoint, producer_id)
        self.producers.append(producer)
        return producer

    async def producer(self, producer_id: bytes | None = None) -> RawProducer:
        """Connect a producer that has been welcomed."""
        producer = self.stranger(producer_id)
        assert isinstance(await producer.greet(), Welcome)
        return producer

    async def producer_of(self, *payloads: bytes) -> RawProducer:
        """Connect a producer that has put messages."""
        producer = await self.producer()
        await producer.put(*payloads)
        return producer

    async def end(self, producer: RawProducer) -> None:
        """Close a producer, until the consumer knows."""
        num_left = self.consumer.statistics().num_producers - 1
        producer.close()
        await eventually(lambda: self.consumer.statistics().num_producers == num_left)

    async def close(self) -> None:
        for producer in self.producers:
            producer.close()
        for consumer in self.consumers:
            await consumer.close()


@asynccontextmanager
async def scene(
    backend: ModuleType, directory: Path, decode: Any = as_bytes, **options: Any
) -> AsyncIterator[Scene]:
    """Open a consumer; close everything at the end."""
    async with backend.Context() as own, backend.Context() as other:
        made = Scene(backend, (own, other), directory)
        try:
            made.consume(decode, **options)
            yield made
        finally:
            await made.close()
