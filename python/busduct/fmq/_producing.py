"""The producing side of a queue, in one loop after the other."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from busduct.errors import ClosedError
from busduct.fmq._enduring_task import EnduringTask
from busduct.fmq._hub import Hub
from busduct.fmq._hubs import Hubs
from busduct.fmq._inlet import Inlet
from busduct.fmq._options import QueueOptions
from busduct.fmq._payload import encode, encode_bytes
from busduct.fmq._producer import Producer, ProducerState
from busduct.fmq._side import Side, in_loop_of
from busduct.fmq._wire import Encoded
from busduct.statistics import QueueProducerStatistics

__all__ = ["Producing"]

_logger = logging.getLogger("busduct.fmq")


class _LoopNeededError(Exception):
    """Memory is to be borrowed, which only the loop's thread may do."""


class Producing(Side):
    """Puts messages, and keeps those that are left when a hub ends for the next.

    Args:
        hubs: As of `Side`.
        name: As of `Side`.
        options: As of `Side`.
        enc_hook: As of `encode`.
        state: Of a producer that this one goes on for.
    """

    closes_last = True

    def __init__(
        self,
        hubs: Hubs,
        name: str,
        options: QueueOptions,
        enc_hook: Callable[[Any], Any] | None = None,
        state: ProducerState | None = None,
    ) -> None:
        super().__init__(hubs, name, options)
        self.producer: Producer | None = None
        self._enc_hook = enc_hook
        self._state = state or ProducerState()
        self._inlet: Inlet | None = None
        self._ending: EnduringTask | None = None

    def encode(self, data: Any, threshold: int) -> Encoded:
        """Return a payload that can be sent; in the loop."""
        if type(data) is bytes:
            return encode_bytes(data, threshold, self.options.max_message_bytes)
        assert self.producer is not None
        return encode(
            data,
            threshold=threshold,
            loan=self.producer.loan,
            max_bytes=self.options.max_message_bytes,
            enc_hook=self._enc_hook,
        )

    def put_at_once(self, encoded: Encoded) -> int | None:
        """Put a message; None where `put` may have to wait, or threads do so too."""
        if self._inlet is not None:
            return None
        assert self.producer is not None
        return self.producer.try_put(encoded)

    async def put(self, encoded: Encoded) -> int:
        """Put a message, waiting for room; in the loop."""
        assert self.producer is not None
        with self._pause():
            return await self.producer.put(encoded)

    async def put_one(self, data: Any, threshold: int) -> int:
        """Encode a payload and put it; in the loop."""
        return await self.put(self.encode(data, threshold))

    async def put_many(
        self, payloads: Sequence[Any], threshold: int, first: Sequence[Encoded] = ()
    ) -> list[int]:
        """Encode payloads and put them in order; in the loop.

        Args:
            payloads: As of `Queue.put_many`.
            threshold: As there.
            first: What comes before them and is encoded, which a loan can be only once.
        """
        messages = [*first, *(self.encode(data, threshold) for data in payloads)]
        assert self.producer is not None
        with self._pause():
            return await self.producer.put_many(messages)

    def put_many_blocking(self, payloads: Sequence[Any], threshold: int) -> list[int]:
        """Encode payloads and put them in order; in the thread of no loop."""
        hub = self.open_anywhere()
        inlet = self._inlet or in_loop_of(hub, "fmq inlet", self._open_inlet).wait()
        messages: list[Encoded] = []
        with suppress(_LoopNeededError):
            for data in payloads:
                messages.append(self._encode_alone(data, threshold))
        if len(messages) == len(payloads):
            first = inlet.put(messages)
            if first is not None:
                return list(range(first, first + len(messages)))
        rest = payloads[len(messages) :]
        return self.blocking(lambda: self.put_many(rest, threshold, messages))

    async def flush(self, timeout: float | None) -> bool:
        """Wait until all was sent to consumers; in the loop."""
        assert self.producer is not None
        if self._inlet is not None:
            self._inlet.drain()
        is_sent = await self.producer.flush(timeout)
        if is_sent and self.hub is not None:
            # What was accepted in this turn of the loop is written at its end.
            self.hub.context.run_once()
        return is_sent

    async def wait_acknowledged(self, timeout: float | None) -> bool:
        """Wait until consumers are done with all; in the loop."""
        assert self.producer is not None
        if self._inlet is not None:
            self._inlet.drain()
        return await self.producer.wait_acknowledged(timeout)

    def end_when_done(self) -> None:
        """Have it closed once consumers are done with all; in the loop."""
        self._ending = EnduringTask("fmq heir", self._end_when_done)

    async def _end_when_done(self) -> None:
        assert self.producer is not None
        with suppress(ClosedError):
            await self.producer.wait_acknowledged()
            await self.close_here()

    def statistics(self) -> QueueProducerStatistics:
        """Return what the producer counted, also in earlier loops."""
        if self.producer is not None:
            return self.producer.statistics()
        state = self._state
        return QueueProducerStatistics(
            num_put=state.num_put,
            num_acknowledged=state.num_acknowledged,
            num_pending=len(state.messages),
            pending_nbytes=sum(entry.encoded.nbytes for entry in state.messages),
            num_unacknowledged=0,
            num_adopted=state.num_adopted,
            num_dropped=state.num_dropped,
            num_redelivered=state.num_redelivered,
            num_consumers=0,
            num_faults=0,
            num_waiting=0,
            num_unwanted=0,
        )

    def recent_errors(self) -> list[Exception]:
        """Return what consumers did wrong."""
        return [] if self.producer is None else list(self.producer.recent_errors())

    @property
    def num_left(self) -> int:
        """Messages that were not handed over on earlier hubs."""
        return len(self._state.messages)

    def undelivered(self) -> list[Encoded]:
        """Return what no consumer was sent."""
        if self.producer is not None:
            return self.producer.undelivered()
        return [entry.encoded for entry in self._state.messages]

    async def close(self) -> None:
        """Hand over what there is, within the linger."""
        if self._inlet is not None:
            self._inlet.close()
        if self.producer is not None:
            await self.producer.close()

    def abandon(self) -> None:
        """End at once."""
        if self._inlet is not None:
            self._inlet.close()
        if self.producer is not None:
            self.producer.abandon()

    def settle(self) -> None:
        """Keep what was not handed over."""
        super().settle()
        self._inlet = None
        producer, self.producer = self.producer, None
        if producer is not None:
            self._state = producer.take_state()
        if self._state.messages:
            self._hubs.carry(self)

    async def _end(self) -> None:
        await super()._end()
        if num_left := len(self.undelivered()):
            text = "a producer is closed; nobody took %d messages of queue %r"
            _logger.warning(text, num_left, self.name)

    def _open_on(self, hub: Hub) -> None:
        self.producer = Producer(
            hub.context,
            hub.address_of(self.name),
            self.name,
            self.options,
            state=self._state,
        )

    def _forget_parent(self) -> None:
        self._state = ProducerState()

    async def _open_inlet(self) -> Inlet:
        if self._inlet is None:
            assert self.loop is not None
            assert self.producer is not None
            self._inlet = Inlet(self.loop, self.producer)
        return self._inlet

    def _pause(self) -> AbstractContextManager[None]:
        return nullcontext() if self._inlet is None else self._inlet.pause()

    def _encode_alone(self, data: Any, threshold: int) -> Encoded:
        return encode(
            data,
            threshold=threshold,
            loan=_refuse_loan,
            max_bytes=self.options.max_message_bytes,
            enc_hook=self._enc_hook,
        )


def _refuse_loan(nbytes: int) -> Any:
    raise _LoopNeededError
