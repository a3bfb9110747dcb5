"""Queues: messages from any number of producers to any number of consumers."""

import asyncio
import weakref
from asyncio import get_running_loop
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Self

from busduct.errors import ClosedError, LocalProtocolError, WaitTimeoutError
from busduct.fmq._closing import begin_closing
from busduct.fmq._config import Role
from busduct.fmq._consuming import Consuming
from busduct.fmq._message import Message
from busduct.fmq._producing import Producing
from busduct.fmq._queue_sync import (
    MAX_MANY,
    SHM_THRESHOLD,
    SyncCalls,
    seconds_of,
)
from busduct.fmq._side import QueueStatistics, Side

if TYPE_CHECKING:
    from busduct._core import Context, Loan

__all__ = ["SHM_THRESHOLD", "Queue"]

_NOT_A_PRODUCER = "Only producers can send messages."
_NOT_A_CONSUMER = "Only consumers can get messages."


class Queue(SyncCalls):
    """One end of a queue; made by `FMQ.queue`.

    A message goes to one consumer, that with the least to do. It is kept by its
    producer until it is acknowledged: if its consumer dies before, it goes to another
    one, with a higher `Message.num_deliveries`. Before there is a consumer it waits.

    It opens in the event loop that runs when it is made, or else at its first use, and
    opens again in the next one when that has ended. The calls that end in ``_sync`` and
    ``for`` are for threads that run no loop; several may use the same queue.

    Nothing needs to be closed: what was put is handed over when the loop or the process
    ends, within the linger.

    Attributes:
        name: As it was asked for.
        role: What it may do.
    """

    def __init__(
        self, name: str, role: Role, side: Producing | Consuming, owner: object
    ) -> None:
        self.name = name
        self.role = role
        self._side: Side = side
        self._producing = side if isinstance(side, Producing) else None
        self._consuming = side if isinstance(side, Consuming) else None
        # An FMQ that nobody refers to any more ends.
        self._owner = owner
        self._finalizer = weakref.finalize(self, side.end_soon)
        self._finalizer.atexit = False
        if asyncio._get_running_loop() is not None:
            side.open_here()

    @property
    def context(self) -> "Context":
        """What owns its sockets; the same for all queues of an `FMQ` in one loop.

        Raises:
            ClosedError: The queue or its `FMQ` is closed.
            ForkedError: It is open in the parent process.
            LocalProtocolError: It is open in another loop.
        """
        if asyncio._get_running_loop() is None:
            return self._side.open_anywhere().context
        self._side.open_here()
        assert self._side.hub is not None
        return self._side.hub.context

    async def put(self, data: Any, shm_threshold: int = SHM_THRESHOLD) -> int:
        """Put a message, waiting for room where `on_full` is "wait".

        Cancelled while it waits: nothing was put.

        Args:
            data: Bytes, a buffer, a `Loan` that was filled, or anything that msgpack
                holds, with arrays anywhere in it.
            shm_threshold: Bytes from which on the `Message` gets a `descriptor`. All
                that is large goes through shared memory, whatever this says.

        Returns:
            Its number: the producer counts from 0.

        Raises:
            ClosedError: The queue is closed.
            ForkedError: It is open in the parent process.
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: No room, and `on_full` is "error".
            LocalProtocolError: It is open in another loop.
            PayloadError: There is something in it that cannot be sent.
            PermissionError: The queue's role is consumer.
        """
        side = self._producing or self._require_producing()
        if side.loop is get_running_loop() or side.open_here():
            # NB: the shortest way, as it is that of a message there is room for.
            encoded = side.encode(data, shm_threshold)
            msg_id = side.put_at_once(encoded)
            return await side.put(encoded) if msg_id is None else msg_id
        return await side.elsewhere(lambda: side.put_one(data, shm_threshold))

    async def put_many(
        self, payloads: Sequence[Any], shm_threshold: int = SHM_THRESHOLD
    ) -> list[int]:
        """Put messages in order; return their numbers. As `put`.

        Cancelled while it waits: a prefix was put.
        """
        side = self._require_producing()
        if side.loop is asyncio.get_running_loop() or side.open_here():
            return await side.put_many(payloads, shm_threshold)
        return await side.elsewhere(lambda: side.put_many(payloads, shm_threshold))

    async def get(
        self, timeout: float | None = None, raise_on_timeout: bool = False
    ) -> Message | None:
        """Take a message, waiting for it. Cancelling loses nothing.

        Args:
            timeout: Milliseconds; None and 0 for no bound.
            raise_on_timeout: Raise, rather than return None, when none came.

        Raises:
            ClosedError: The queue is closed.
            ForkedError: It is open in the parent process.
            LocalProtocolError: It is open in another loop.
            PermissionError: The queue's role is producer.
            WaitTimeoutError: None came, and `raise_on_timeout` is true.
        """
        side = self._consuming or self._require_consuming()
        if side.loop is get_running_loop():
            # NB: the shortest way, as it is that of a message that is there.
            message = side.get_at_once()
            if message is not None:
                return message
        try:
            if side.loop is asyncio.get_running_loop() or side.open_here():
                return await side.get(seconds_of(timeout))
            return await side.get_elsewhere(seconds_of(timeout))
        except WaitTimeoutError:
            if raise_on_timeout:
                raise
            return None

    async def get_many(
        self, max_n: int = MAX_MANY, timeout: float | None = None
    ) -> list[Message]:
        """Take what is there, waiting for at least one message; as `get`.

        Args:
            max_n: Messages at most.
            timeout: Milliseconds until an empty list is returned; None and 0 for none.
        """
        side = self._require_consuming()
        try:
            if side.loop is asyncio.get_running_loop() or side.open_here():
                return await side.get_many(max_n, seconds_of(timeout))
            return [await side.get_elsewhere(seconds_of(timeout))]
        except WaitTimeoutError:
            return []

    def loan(self, nbytes: int) -> "Loan":
        """Lend memory to be filled in place and put without a copy; in its loop.

        Raises:
            ClosedError: The queue is closed.
            LocalProtocolError: It is open in another loop or thread.
            PermissionError: The queue's role is consumer.
        """
        side = self._require_producing()
        if asyncio._get_running_loop() is None or not side.open_here():
            msg = "memory is lent in the event loop of the queue only"
            raise LocalProtocolError(msg)
        assert side.producer is not None
        return side.producer.loan(nbytes)

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put has been sent to consumers; tell whether it was.

        From then on it arrives, even if this process is killed.

        Args:
            timeout: Seconds; None for no bound.

        Raises:
            ClosedError: The queue is closed.
            PermissionError: The queue's role is consumer.
        """
        side = self._require_producing()
        if side.open_here():
            return await side.flush(timeout)
        return await side.elsewhere(lambda: side.flush(timeout))

    async def wait_acknowledged(self, timeout: float | None = None) -> bool:
        """Wait until consumers are done with all that was put; as `flush`."""
        side = self._require_producing()
        if side.open_here():
            return await side.wait_acknowledged(timeout)
        return await side.elsewhere(lambda: side.wait_acknowledged(timeout))

    def statistics(self) -> QueueStatistics:
        """Return the counters, and what is held."""
        return self._side.look(self._side.statistics)

    def recent_errors(self) -> list[Exception]:
        """Return what others did wrong, the last 16 of each kind."""
        return self._side.look(self._side.recent_errors)

    def undelivered(self) -> list[Any]:
        """Return what nobody will deliver, once the queue and its `FMQ` are closed.

        Of a producer, the payloads as they were encoded that no consumer was sent; of a
        consumer, messages not taken whose producers had ended.
        """
        return self._side.undelivered()

    def close(self) -> Awaitable[None]:
        """Hand over what there is, within the linger, and end. Idempotent.

        It begins at once; without a running loop it is done on return. Else await what
        it returns.
        """
        return begin_closing(self._side.close_here, self._side.close_blocking)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        try:
            message = await self.get()
        except ClosedError:
            raise StopAsyncIteration from None
        assert message is not None
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Queue {self.name!r} {self.role.value}>"

    def _require_producing(self) -> Producing:
        if self._producing is None:
            raise PermissionError(_NOT_A_PRODUCER)
        return self._producing

    def _require_consuming(self) -> Consuming:
        if self._consuming is None:
            raise PermissionError(_NOT_A_CONSUMER)
        return self._consuming
