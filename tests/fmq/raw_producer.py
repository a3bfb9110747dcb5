"""A producer of a queue that does as it is told, right or wrong."""

import os
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from busduct.fmq._wire import (
    VERSION,
    Ack,
    Adopted,
    Encoded,
    Encoding,
    Goodbye,
    Hello,
    Nack,
    Refusal,
    Welcome,
    data_parts,
    encode_control,
    pack_run,
    parse_from_consumer,
)

NAME = "prompts"


def encoded(body: Any, *, is_large: bool = False) -> Encoded:
    """Return a payload of bytes as it is."""
    return Encoded(Encoding.BYTES, body, (), len(body), is_large)


def parts_of(
    body: Any,
    msg_id: int,
    *,
    num_deliveries: int = 1,
    num_skipped: int = 0,
    is_large: bool = False,
) -> list[Any]:
    """Return the parts of a message."""
    return data_parts(
        encoded(body, is_large=is_large),
        msg_id=msg_id,
        timestamp=time.time(),
        num_deliveries=num_deliveries,
        num_skipped=num_skipped,
    )


def run_of(*bodies: bytes, first_id: int = 0, num_skipped: int = 0) -> bytes:
    """Return messages as one part."""
    ids = range(first_id, first_id + len(bodies))
    times = [time.time()] * len(bodies)
    return pack_run(Encoding.BYTES, bodies, ids, times, num_skipped)


class RawProducer:
    """A DEALER that is connected to one consumer.

    Attributes:
        producer_id: What it says it is.
        upto: What was acknowledged, all below it.
        others: And these.
        returned: What came back.
    """

    def __init__(
        self,
        backend: ModuleType,
        context: Any,
        endpoint: str,
        producer_id: bytes | None = None,
    ) -> None:
        self.producer_id = producer_id or os.urandom(16)
        self.socket = context.socket(backend.DEALER, linger=1.0)
        self.socket.connect(endpoint)
        self.upto = 0
        self.others: set[int] = set()
        self.returned: list[int] = []
        self.num_acks = 0

    async def say(self, parts: Sequence[Any]) -> None:
        await self.socket.send_multipart(list(parts))

    async def hear(self) -> Welcome | Refusal | Ack | Nack | Adopted:
        """Return what the consumer said next, whatever it is."""
        said = parse_from_consumer(await self.socket.recv_multipart())
        match said:
            case Ack(upto, others):
                assert upto >= self.upto
                self.upto = upto
                self.others.update(others)
                self.num_acks += 1
            case Nack(numbers):
                self.returned += numbers
        return said

    def hello(self, name: str = NAME, version: int = VERSION) -> bytes:
        """Return what it says first."""
        return encode_control(Hello(version, name, self.producer_id))

    async def greet(self, name: str = NAME, version: int = VERSION) -> Any:
        """Say what it is; return the answer."""
        await self.say([self.hello(name, version)])
        return await self.hear()

    async def put(self, *bodies: Any, first_id: int = 0, **header: Any) -> None:
        for msg_id, body in enumerate(bodies, first_id):
            await self.say(parts_of(body, msg_id, **header))

    async def put_run(self, *bodies: bytes, first_id: int = 0) -> None:
        """Put small messages together."""
        await self.say([run_of(*bodies, first_id=first_id)])

    async def told(self, upto: int, *others: int) -> None:
        """Wait until that is acknowledged, and no more."""
        while self.upto != upto or not self.others >= set(others):
            await self.hear()

    async def bid_goodbye(self) -> int:
        """Have the consumer own what it has; return how many messages it owns."""
        await self.say([encode_control(Goodbye())])
        while not isinstance(said := await self.hear(), Adopted):
            pass
        return said.upto

    def close(self) -> None:
        self.socket.close()
