"""A plain ROUTER as a consumer, and a producer that is told of it, for tests."""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.transport.waiting import eventually

from busduct.fmq._options import QueueOptions
from busduct.fmq._producer import Producer, ProducerState
from busduct.fmq._wire import (
    VERSION,
    Ack,
    Adopted,
    Data,
    Encoded,
    Encoding,
    Goodbye,
    Hello,
    Nack,
    Run,
    Welcome,
    encode_control,
    parse_from_producer,
)

NAME = "prompts"
_ids = itertools.count(1)


def encoded(data: bytes) -> Encoded:
    """Return bytes as they are put."""
    return Encoded(Encoding.BYTES, data, (), len(data), False)


class FakeConsumer:
    """Does by hand what a consumer does; one producer at a time.

    Attributes:
        member_id: Its own.
        context: Of its socket.
        hellos: What producers said first.
        got: Messages, over all connections.
        numbers: How many came over each connection, by routing id.
        num_goodbyes: Times that producers asked it to own what it has.
        num_runs: Times that several messages came together.
    """

    def __init__(
        self,
        backend: Any,
        endpoint: str,
        *,
        context: Any = None,
        prefetch: tuple[int, int] = (100, 1 << 30),
        max_message_bytes: int = 1 << 30,
        welcomes: bool = True,
        adopts: bool = True,
        hwm_messages: int = 100_000,
    ) -> None:
        self.member_id = next(_ids).to_bytes(16, "big")
        self.hellos: list[Hello] = []
        self.got: list[Data] = []
        self.numbers: dict[bytes, int] = {}
        self._owns = context is None
        self.context = context or backend.Context()
        self._limits = (*prefetch, max_message_bytes)
        self._welcomes = welcomes
        self._adopts = adopts
        self.num_goodbyes = 0
        self.num_runs = 0
        self.socket = self.context.socket(
            backend.ROUTER, hwm_messages=hwm_messages, hwm_bytes=1 << 40
        )
        self.endpoint = self.socket.bind(endpoint)
        self.routing_id = b""

    @property
    def payloads(self) -> list[bytes]:
        """The bodies of what came, as bytes."""
        self.turn()
        return [bytes(data.body) for data in self.got]

    def turn(self) -> None:
        """Take what is there, and welcome producers."""
        while (parts := self.socket.recv_multipart_nowait()) is not None:
            self.routing_id = parts[0]
            message = parse_from_producer(parts[1:])
            if isinstance(message, Data | Run):
                came = (
                    [message]
                    if isinstance(message, Data)
                    else [data for data, _ in message.messages]
                )
                self.got += came
                self.num_runs += len(came) > 1
                self.numbers[self.routing_id] += len(came)
                continue
            if isinstance(message, Goodbye):
                self.num_goodbyes += 1
                if self._adopts:
                    self.say(Adopted(self.numbers[self.routing_id]))
                continue
            self.hellos.append(message)
            self.numbers[self.routing_id] = 0
            if self._welcomes:
                self.say(Welcome(VERSION, self.member_id, *self._limits))

    def say(self, message: Any) -> None:
        """Send something that consumers say."""
        self.say_bytes(encode_control(message))

    def say_bytes(self, *parts: bytes) -> None:
        """Send anything."""
        self.socket.send_multipart_nowait([self.routing_id, *parts])

    def acknowledge(self) -> None:
        """Be done with all that came over the last connection."""
        self.say(Ack(self.numbers[self.routing_id], ()))

    def give_back(self, *numbers: int) -> None:
        """Give back messages of the last connection."""
        self.say(Nack(numbers))

    async def received(self, count: int) -> list[bytes]:
        """Wait for so many messages in all; return their bodies."""
        await eventually(lambda: len(self.payloads) >= count)
        return self.payloads

    async def greeted(self, count: int = 1) -> None:
        """Wait until producers have said hello so often."""

        def is_so() -> bool:
            self.turn()
            return len(self.hellos) >= count

        await eventually(is_so)

    def close(self) -> None:
        """Go away."""
        self.socket.close(linger=0)
        if self._owns:
            self.context.close()


class FakeWatcher:
    """Tells a producer of the consumers that the test lists."""

    def __init__(
        self,
        _context: Any,
        _address: str,
        _name: str,
        on_members: Callable[[Mapping[bytes, str]], None],
        *,
        insecure: bool = False,
    ) -> None:
        self.is_closed = False
        self._on_members = on_members
        self._members: dict[bytes, str] = {}

    def list(self, *consumers: FakeConsumer) -> None:
        """Tell that there are these, and no others."""
        self._members = {each.member_id: each.endpoint for each in consumers}
        self._on_members(self._members)

    def recent_errors(self) -> tuple[()]:
        """Return none."""
        return ()

    def close(self) -> None:
        self.is_closed = True


class Party:
    """A producer, its watcher, and the consumers that a test made.

    Attributes:
        producer: Under test.
        watcher: Of it.
        context: Of it.
        consumers: Made by the test.
    """

    def __init__(
        self, backend: Any, directory: str, state: ProducerState | None, options: Any
    ) -> None:
        self._backend = backend
        self._directory = directory
        self.consumers: list[FakeConsumer] = []
        self.watcher: FakeWatcher
        self.context = backend.Context()
        self.producer = Producer(
            self.context,
            "ipc:///nowhere",
            NAME,
            QueueOptions(**options),
            state=state,
            watch=self._watch,
        )

    def _watch(self, *args: Any, **kwargs: Any) -> Any:
        self.watcher = FakeWatcher(*args, **kwargs)
        return self.watcher

    def consumer(self, **options: Any) -> FakeConsumer:
        """Make a consumer, which is not listed yet."""
        endpoint = f"ipc://{self._directory}/{len(self.consumers)}"
        consumer = FakeConsumer(self._backend, endpoint, **options)
        self.consumers.append(consumer)
        return consumer

    async def listed(self, *consumers: FakeConsumer) -> None:
        """List consumers, and wait until messages can be sent to all of them."""
        self.watcher.list(*consumers)

        def are_there() -> bool:
            for consumer in consumers:
                consumer.turn()
            return self.producer.statistics().num_consumers >= len(consumers)

        await eventually(are_there)

    async def joined(self, **options: Any) -> FakeConsumer:
        """Make one consumer, the only one, that messages can be sent to."""
        consumer = self.consumer(**options)
        await self.listed(consumer)
        return consumer

    async def put(self, *payloads: bytes) -> list[int]:
        """Put bytes."""
        return [await self.producer.put(encoded(each)) for each in payloads]

    def close_consumers(self) -> None:
        """Have all of them gone."""
        for consumer in self.consumers:
            consumer.close()


@asynccontextmanager
async def party(
    backend: Any, directory: Any, *, state: ProducerState | None = None, **options: Any
) -> AsyncIterator[Party]:
    """Make a producer of a queue; close all at the end."""
    made = Party(backend, str(directory), state, options)
    try:
        yield made
    finally:
        await made.producer.close(linger=0)
        await made.context.aclose()
        made.close_consumers()
