"""Publish typed messages, batched, numbered, and held for those who missed them."""

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from busduct._backend import load_backend
from busduct._scopes import AsyncScope
from busduct.codec import Codec
from busduct.errors import BusductError, ClosedError, FrameTooLargeError
from busduct.statistics import PublisherStatistics
from busduct.transport._ranges import (
    require_at_least,
    require_at_most,
    require_one_of,
)
from busduct.transport._records import (
    MAX_BATCH,
    PRESENCE_TOPIC,
    Batch,
    check_topic,
    encode_batch,
)
from busduct.transport._replay_address import replay_address_of
from busduct.transport._replay_ring import ReplayRing
from busduct.transport._replay_server import ReplayServer
from busduct.transport._sync_messages import max_request_bytes

if TYPE_CHECKING:
    from busduct._core import Context, Loan, Socket

__all__ = ["MessagePublisher"]

T = TypeVar("T")

_backend = load_backend()

# Larger ones go in a message of their own, which copies them nowhere.
MAX_BATCHED_BYTES = 16384
# Of a message beside its payloads: its topic, its header, and for each its length.
MESSAGE_OVERHEAD = 255 + 24
RECORD_LENGTH_BYTES = 4


class MessagePublisher(AsyncScope, Generic[T]):
    """Publish messages of one type to any number of `MessageSubscriber`.

    Messages of a topic arrive in their order, and each has a sequence number, from 0.
    Those of one topic that are published in quick succession travel together, so that
    messages of two topics may change places within `max_delay`; `flush` keeps them
    apart. Nothing waits for a slow subscriber: what it has no room for is dropped for
    it alone, and it asks for it afterwards at a second endpoint, which gives what is
    still held.

    It belongs to one event loop, which must run for anything to be sent.

    Args:
        codec: Gives each message its topic and its bytes.
        bind_address: As of `Socket.bind`.
        context: Owns the sockets.
        loop: The loop; None for the running one.
        replay_address: Of the second endpoint; None for ``.replay`` appended to an ipc
            path or inproc name, the port behind that of `bind_address`, or any port
            where that says 0.
        max_batch: Messages of a topic that are sent together, 1 to 65536.
        max_delay: Seconds that a message waits for others; 0 for the end of the loop's
            turn.
        replay_messages: Held at most, of all topics, to be asked for again.
        replay_bytes: Bytes of those, and 96 for each.
        max_topics: Topics at most; `FullError` beyond.
        max_message_bytes: Of one message or batch.
        hwm_messages: Batches queued for each subscriber.
        hwm_bytes: Bytes of those, as of `Context.socket`.
        on_full: Which of a subscriber's batches are dropped where it has no room.
        linger: Seconds that close goes on sending; None for no bound.
        insecure: As of `Socket.bind`.
        send_buffer_bytes: As of `Context.socket`, of both endpoints.
        recv_buffer_bytes: As above.

    Raises:
        AddressInUseError: Somebody listens there.
        AuthError: An address beyond this machine, no key, and `insecure` is false.
        ConfigError: A value out of its range.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
        RuntimeError: No loop is given, and none is running.
    """

    def __init__(
        self,
        codec: Codec[T],
        bind_address: str,
        context: "Context",
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        replay_address: str | None = None,
        max_batch: int = 256,
        max_delay: float = 0.0,
        replay_messages: int = 1024,
        replay_bytes: int = 16 << 20,
        max_topics: int = 4096,
        max_message_bytes: int = 1 << 30,
        hwm_messages: int = 1000,
        hwm_bytes: int = 64 << 20,
        on_full: Literal["drop_new", "drop_old"] = "drop_new",
        linger: float | None = 1.0,
        insecure: bool = False,
        send_buffer_bytes: int = 0,
        recv_buffer_bytes: int = 0,
    ) -> None:
        require_at_least(1, max_batch=max_batch, max_topics=max_topics)
        require_at_least(
            0,
            max_delay=max_delay,
            replay_messages=replay_messages,
            replay_bytes=replay_bytes,
        )
        require_at_most(MAX_BATCH, max_batch=max_batch)
        require_one_of(("drop_new", "drop_old"), on_full=on_full)
        self.loop = loop or asyncio.get_running_loop()
        self._codec = codec
        self._max_batch = max_batch
        room = max_message_bytes - MESSAGE_OVERHEAD
        self._max_payload_bytes = room - RECORD_LENGTH_BYTES
        self._max_batch_bytes = min(room - RECORD_LENGTH_BYTES * max_batch, 1 << 20)
        self._max_delay = max_delay
        epoch = secrets.randbits(63) | 1
        self._ring = ReplayRing(epoch, replay_messages, replay_bytes, max_topics)
        self._pending: dict[bytes, list[bytes]] = {}
        self._pending_nbytes = 0
        self._timer: asyncio.Handle | None = None
        self._num_published = 0
        self._num_batches = 0
        self._live = context.socket(
            _backend.PUB,
            hwm_messages=hwm_messages,
            hwm_bytes=hwm_bytes,
            max_message_bytes=max_message_bytes,
            on_full=on_full,
            linger=linger,
            send_buffer_bytes=send_buffer_bytes,
            recv_buffer_bytes=recv_buffer_bytes,
        )
        try:
            self.bind_address = self._live.bind(bind_address, insecure=insecure)
            router = context.socket(
                _backend.ROUTER,
                linger=linger,
                max_message_bytes=max_message_bytes + max_request_bytes(max_topics),
                send_buffer_bytes=send_buffer_bytes,
                recv_buffer_bytes=recv_buffer_bytes,
            )
            address = replay_address or replay_address_of(
                self.bind_address, bind_address
            )
            _bind(router, address, insecure=insecure)
        except BaseException:
            self._live.close()
            raise
        self.replay_address = router.last_endpoint
        self._server = ReplayServer(
            self._live,
            router,
            self._ring,
            self.flush,
            max_request_bytes=max_request_bytes(max_topics),
        )
        self._server.start(self.loop)

    @property
    def epoch(self) -> int:
        """A number that tells the life of this publisher from its earlier ones."""
        return self._ring.epoch

    @property
    def is_closed(self) -> bool:
        """Whether it, or its context, is closed."""
        return self._live.closed

    @property
    def buffered_count(self) -> int:
        """Messages accepted that wait for others to be sent with."""
        return sum(map(len, self._pending.values()))

    def publish(self, item: T) -> None:
        """Accept a message under the topic that the codec gives it.

        Raises:
            ClosedError: This side is closed.
            ConfigError: A topic over 255 bytes, or one that begins with the byte FF.
            FrameTooLargeError: Over a limit of the codec or of the publisher.
            FullError: Of one topic more than `max_topics`.
        """
        topic, payload = self._codec.encode(item)
        self.send(topic, payload)

    def send(self, topic: bytes, payload: bytes) -> None:
        """Accept a payload that is encoded already; raises as `publish`."""
        if self._live.closed:
            raise ClosedError("publisher")
        topic = check_topic(topic)
        nbytes = len(payload)
        if nbytes > self._max_payload_bytes:
            raise FrameTooLargeError(nbytes, self._max_payload_bytes)
        is_alone = nbytes > MAX_BATCHED_BYTES
        if is_alone or self._pending_nbytes + nbytes > self._max_batch_bytes:
            self.flush()
        self._ring.append(topic, payload)
        self._num_published += 1
        pending = self._pending.setdefault(topic, [])
        pending.append(payload)
        self._pending_nbytes += nbytes
        if is_alone or len(pending) >= self._max_batch:
            self.flush()
        elif self._timer is None:
            self._timer = self._schedule()

    def loan(self, nbytes: int) -> "Loan":
        """Lend memory for what is to be published, as `Socket.loan`."""
        return self._live.loan(nbytes)

    def flush(self) -> None:
        """Send what waits for others to be sent with, topic by topic."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending_nbytes = 0
        pending, self._pending = self._pending, {}
        for topic, payloads in pending.items():
            # What waits of a topic is the last that it was numbered for.
            first = self._ring.head_of(topic) - len(payloads)
            batch = Batch(topic, self._ring.epoch, first, payloads)
            self._live.send_multipart_nowait(encode_batch(batch))
            self._num_batches += 1

    async def wait_subscribers(
        self, count: int = 1, topic: bytes | str | None = None
    ) -> None:
        """Wait until so many subscribers get what is published from then on.

        Cancelling is safe.

        Args:
            count: At least 1.
            topic: Count those that get messages of this topic; None for all.

        Raises:
            ClosedError: This side is closed.
            ConfigError: Fewer than 1.
        """
        wanted = PRESENCE_TOPIC if topic is None else check_topic(topic)
        await self._live.wait_subscribers(count, wanted)

    async def drain(self, timeout: float | None = None) -> bool:
        """Flush, and wait until all subscribers have what is published.

        Each one that is connected has been sent it by then, or as much as is held of
        what it missed; closing loses nothing of it within `linger`. Cancelling is safe.

        Args:
            timeout: Seconds; None for no bound.

        Returns:
            Whether it was so in time.

        Raises:
            ClosedError: This side is closed.
        """
        self.flush()
        self._server.start(self.loop)
        try:
            async with asyncio.timeout(timeout):
                await self._server.wait_in_step()
        except TimeoutError:
            return False
        return True

    def statistics(self) -> PublisherStatistics:
        """Return the counters and what is held."""
        sockets = self._live.statistics()
        return PublisherStatistics(
            num_published=self._num_published,
            num_batches=self._num_batches,
            num_buffered=self.buffered_count,
            num_dropped=sockets.num_dropped,
            num_peers=sockets.num_peers,
            num_topics=self._ring.num_topics,
            num_held=self._ring.num_records,
            num_held_bytes=self._ring.nbytes,
            num_replay_requests=self._server.num_requests,
            num_replayed=self._server.num_replayed,
            num_malformed=self._server.num_malformed,
            num_refused=self._server.num_refused,
        )

    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong at either endpoint, the last 16 of each."""
        return [*self._live.recent_errors(), *self._server.errors]

    def close(self) -> None:
        """Flush, and close the sockets; they go on sending in the background.

        Idempotent.
        """
        # A context that is closed has closed the socket.
        with suppress(ClosedError):
            self.flush()
        self._server.close()
        self._live.close()

    async def aclose(self) -> None:
        """Close, and wait until its tasks have ended."""
        self.close()
        await self._server.wait_closed()

    def _schedule(self) -> asyncio.Handle:
        if self._max_delay > 0:
            return self.loop.call_later(self._max_delay, self._on_timer)
        return self.loop.call_soon(self._on_timer)

    def _on_timer(self) -> None:
        with suppress(ClosedError):
            self.flush()


def _bind(router: "Socket", address: str, *, insecure: bool) -> None:
    try:
        router.bind(address, insecure=insecure)
    except BaseException:
        router.close()
        raise
