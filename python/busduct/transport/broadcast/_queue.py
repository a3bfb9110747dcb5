"""One writer, many readers, each of which gets every item in order: the writer."""

from typing import (
    TYPE_CHECKING,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from busduct.codec import Codec
from busduct.errors import BusductError, FullError
from busduct.statistics import BroadcastStatistics
from busduct.transport._ranges import require_at_least, require_at_most, require_one_of
from busduct.transport._runtime_dir import RuntimeDirectory
from busduct.transport.broadcast._audience import Audience
from busduct.transport.broadcast._closing import Closing
from busduct.transport.broadcast._handle import MAX_READERS, BroadcastHandle
from busduct.transport.broadcast._items import encoder_of
from busduct.transport.broadcast._sending import Sending
from busduct.transport.broadcast._waiting import check_warn_after, within

if TYPE_CHECKING:
    from busduct._core import Context, Lease, Loan

    _Data: TypeAlias = bytes | bytearray | memoryview | Loan | Lease

__all__ = ["BroadcastQueue"]

T = TypeVar("T")


class QueueOptions(TypedDict, total=False):
    """The options of a `BroadcastQueue`, as it documents them."""

    context: "Context | None"
    endpoint: str | None
    hwm_messages: int
    hwm_bytes: int
    max_message_bytes: int
    on_reader_lost: Literal["drop", "error"]
    warn_after: float | None
    linger: float | None


class BroadcastQueue(Closing, Generic[T]):
    """Send items to a fixed number of readers, each of which gets all of them in order.

    What tensor-parallel ranks need: nothing is dropped, so that the slowest reader
    holds the writer back once its queue is full. Hand `handle` to the readers, wait
    until they are there, and send::

        with BroadcastQueue(3) as queue:
            start_workers(str(queue.handle))
            queue.wait_ready_blocking(timeout=60.0)
            queue.send_blocking(b"step 1")

    Use it from one asyncio loop, or from blocking code, where the blocking calls do all
    that is to be done. A reader that dies is dropped at once, and is named by
    `lost_readers`; none can join, or come back, once all have joined.

    Args:
        n_readers: How many, from 1; their ranks are those below it.
        codec: Makes the payloads of items; None for items that are bytes, other
            buffers, or loans.
        context: Owns the socket; None for one of the queue's own.
        endpoint: Where readers join, as of `Socket.bind`; None for a Unix socket in a
            private directory of the queue's own.
        hwm_messages: Items queued for each reader at the writer.
        hwm_bytes: Bytes of those, and 96 for each; a larger item waits for the queue to
            be empty. The default keeps large items in the processor's caches.
        max_message_bytes: Of one item; at least 1024.
        on_reader_lost: ``"drop"``: the others go on; sending fails once none is left.
            ``"error"``: sending fails from the first loss on.
        warn_after: Seconds that a send waits for room, or for readers to join, until
            that is logged with the ranks that are waited for; again after twice as
            long, and so on. None for never.
        linger: Seconds that closing goes on sending; None for no bound.

    Raises:
        AddressInUseError: Somebody listens there.
        ConfigError: A value out of its range, or an endpoint that is none.
        ClosedError: The context is closed.
        OSError: What else the system refuses.
    """

    @overload
    def __init__(
        self: "BroadcastQueue[_Data]",
        n_readers: int,
        *,
        codec: None = None,
        **options: Unpack[QueueOptions],
    ) -> None: ...

    @overload
    def __init__(
        self, n_readers: int, *, codec: Codec[T], **options: Unpack[QueueOptions]
    ) -> None: ...

    def __init__(
        self,
        n_readers: int,
        *,
        codec: Codec[T] | None = None,
        context: "Context | None" = None,
        endpoint: str | None = None,
        hwm_messages: int = 1000,
        hwm_bytes: int = 8 << 20,
        max_message_bytes: int = 1 << 30,
        on_reader_lost: Literal["drop", "error"] = "drop",
        warn_after: float | None = 5.0,
        linger: float | None = 10.0,
    ) -> None:
        require_at_least(1, n_readers=n_readers)
        require_at_most(MAX_READERS, n_readers=n_readers)
        require_one_of(("drop", "error"), on_reader_lost=on_reader_lost)
        check_warn_after(warn_after)
        # NB: what is said to a reader that is refused has to fit as well.
        require_at_least(1024, max_message_bytes=max_message_bytes)
        if linger is not None:
            require_at_least(0, linger=linger)
        super().__init__(context)
        self._linger = linger
        self._directory: RuntimeDirectory | None = None
        try:
            if endpoint is None:
                self._directory = RuntimeDirectory()
                endpoint = self._directory.endpoint("queue")
            self._audience = Audience(
                self._context,
                endpoint,
                n_readers,
                fails_on_loss=on_reader_lost == "error",
                hwm_messages=hwm_messages,
                hwm_bytes=hwm_bytes,
                max_message_bytes=max_message_bytes,
            )
        except BaseException:
            self._release()
            raise
        self._encode = encoder_of(codec, self._audience.socket)
        self._sending = Sending(self._context, self._audience, warn_after)

    @property
    def handle(self) -> BroadcastHandle:
        """What readers need to join."""
        return self._audience.handle

    @property
    def num_readers(self) -> int:
        """How many there are to be, whoever has joined or is lost."""
        return self._audience.handle.num_readers

    @property
    def lost_readers(self) -> list[int]:
        """The ranks that are gone since all had joined, in the order of their loss.

        Closing a reader is a loss as well.
        """
        self._sending.turn()
        self._audience.look()
        return list(self._audience.roster.lost)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until all readers have joined. Cancelling is safe.

        A reader that is lost before that may be replaced by another of its rank.

        Raises:
            ClosedError: This side is closed.
            PeerLostError: Readers were lost since they had joined, as of `send`.
            WaitTimeoutError: They have not joined within `timeout` seconds.
        """
        await within(timeout, self._sending.wait_ready())

    def wait_ready_blocking(self, timeout: float | None = None) -> None:
        """Block until all readers have joined; as `wait_ready`."""
        self._sending.wait_ready_blocking(timeout)

    async def send(self, item: T) -> None:
        """Accept an item, waiting for all readers to join and for room at each of them.

        `bytes` are held, not copied, until sent; other buffers are copied at the call,
        and a loan is taken over. Cancelled while it waits: nobody gets the item.

        Raises:
            ClosedError: This side is closed.
            FrameTooLargeError: Over `max_message_bytes`, or a limit of the codec.
            PeerLostError: Readers were lost: all, or with ``"error"`` any. The others
                still get what was accepted before.
        """
        message = self._encode(item)
        try:
            self._sending.put(message)
        except FullError:
            await self._sending.send(message)

    def send_nowait(self, item: T) -> None:
        """Accept an item at once.

        Raises:
            FullError: A reader has no room; nobody gets the item.
            LocalProtocolError: Not all readers have joined yet.
            BusductError: As of `send`.
        """
        self._sending.send_nowait(self._encode(item))

    def send_blocking(self, item: T, timeout: float | None = None) -> None:
        """Accept an item, waiting at most `timeout` seconds.

        Raises:
            WaitTimeoutError: A reader had no room, or had not joined; nobody gets the
                item.
            BusductError: As of `send`.
        """
        self._sending.send_blocking(self._encode(item), timeout)

    def loan(self, nbytes: int) -> "Loan":
        """Lend memory to be filled in place and sent without a copy; as of `Socket`.

        Raises:
            ClosedError: This side is closed.
            ConfigError: Negative.
            MemoryError: There is none.
        """
        return self._audience.socket.loan(nbytes)

    def statistics(self) -> BroadcastStatistics:
        """Return the counters, and how each reader stands."""
        audience, nbytes = self._audience, self._sending.awaited_nbytes
        return BroadcastStatistics(
            num_sent=self._sending.num_sent,
            num_undelivered=audience.socket.statistics().num_undelivered,
            num_refused=audience.roster.num_refused,
            num_strangers=len(audience.strangers(nbytes)),
            is_ready=audience.roster.is_complete,
            waiting_seconds=self._sending.waiting.seconds,
            ranks=audience.describe(nbytes),
        )

    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong, the last 16, oldest first."""
        return self._audience.socket.recent_errors()

    def close(self) -> None:
        """Tell readers that nothing follows, and send what is queued. Idempotent.

        It blocks for at most `linger` seconds. Where a reader has no room until then,
        the readers take the writer for lost. A context of the caller's goes on sending.
        """
        try:
            if not self._is_closed:
                self._is_closed = True
                self._sending.end_blocking(self._linger)
        finally:
            self._release()

    async def aclose(self) -> None:
        """Close as `close` does, without blocking the loop. Idempotent.

        Cancelled, it leaves the queue closing: call it, or `close`, again. Readers that
        were not told that nothing follows take the writer for lost.
        """
        try:
            if not self._is_closed:
                self._is_closed = True
                await self._sending.end(self._linger)
        finally:
            self._remove_directory()
        if self._is_owner:
            await self._context.aclose()

    async def __aenter__(self) -> Self:
        self._sending.watch()
        return self

    def _release(self) -> None:
        self._close_context()
        self._remove_directory()

    def _remove_directory(self) -> None:
        if self._directory is not None:
            self._directory.close()
