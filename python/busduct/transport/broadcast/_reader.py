"""One writer, many readers, each of which gets every item in order: a reader."""

from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypedDict, TypeVar, Unpack, overload

from busduct.codec import Codec
from busduct.errors import ClosedError, ConfigError, LocalProtocolError
from busduct.statistics import BroadcastReaderStatistics
from busduct.transport.broadcast._closing import Closing
from busduct.transport.broadcast._handle import BroadcastHandle
from busduct.transport.broadcast._items import NOTHING, ItemDecoder, ItemParts
from busduct.transport.broadcast._link import ReaderLink
from busduct.transport.broadcast._waiting import check_warn_after, within

if TYPE_CHECKING:
    from busduct._core import Context, Lease

__all__ = ["BroadcastReader"]

T = TypeVar("T")


class ReaderOptions(TypedDict, total=False):
    """The options of a `BroadcastReader`, as it documents them."""

    context: "Context | None"
    hwm_messages: int
    hwm_bytes: int
    warn_after: float | None


class BroadcastReader(Closing, Generic[T]):
    """Receive every item of one `BroadcastQueue`, in order.

    It connects when it is made, and joins while it waits for the first item, or in
    `wait_ready`. Once the writer has closed, and all items were taken, receiving raises
    `ClosedError` and iterating ends; where the writer died instead, both raise
    `PeerLostError`. There is no way back: a reader that lost its writer, or was lost,
    would miss items.

    It is for one asyncio loop, or for blocking code; closing it is leaving the queue,
    which the writer takes for a loss.

    Args:
        handle: Of the queue.
        rank: Which of its readers this is, from 0; None to leave that to the writer.
        codec: Reads the items; None for bytes.
        context: Owns the socket; None for one of the reader's own.
        hwm_messages: Items that have come and wait here to be taken.
        hwm_bytes: Bytes of those, and 96 for each; beyond it they wait at the writer.
        warn_after: Seconds that a receive waits until that is logged, at level INFO,
            for the writer may have nothing to say; again after twice as long, and so
            on. None for never.

    Raises:
        ConfigError: A value out of its range.
        ClosedError: The context is closed.
    """

    @overload
    def __init__(
        self: "BroadcastReader[bytes]",
        handle: BroadcastHandle,
        rank: int | None = None,
        *,
        codec: None = None,
        **options: Unpack[ReaderOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        handle: BroadcastHandle,
        rank: int | None = None,
        *,
        codec: Codec[T],
        **options: Unpack[ReaderOptions],
    ) -> None: ...

    def __init__(
        self,
        handle: BroadcastHandle,
        rank: int | None = None,
        *,
        codec: Codec[T] | None = None,
        context: "Context | None" = None,
        hwm_messages: int = 1000,
        hwm_bytes: int = 8 << 20,
        warn_after: float | None = 5.0,
    ) -> None:
        check_warn_after(warn_after)
        if rank is not None and not 0 <= rank < handle.num_readers:
            msg = f"rank is {rank}; the queue has {handle.num_readers} readers"
            raise ConfigError(msg)
        self._decoder: ItemDecoder[T] = ItemDecoder(codec)
        super().__init__(context)
        try:
            self._link = ReaderLink(
                self._context,
                handle,
                rank,
                hwm_messages=hwm_messages,
                hwm_bytes=hwm_bytes,
                warn_after=warn_after,
            )
        except BaseException:
            self._close_context()
            raise
        self._socket = self._link.socket

    @property
    def rank(self) -> int | None:
        """Which reader this is; None before the writer has chosen one for it."""
        return self._link.rank

    @property
    def closed(self) -> bool:
        """Whether nothing more will come: closed here or there, lost or refused."""
        return self._socket.closed

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the writer counts this one among its readers.

        Cancelling is safe.

        Raises:
            WaitTimeoutError: It did not answer within `timeout` seconds.
            BusductError: As of `recv`.
        """
        await within(timeout, self._link.wait(_joined))

    def wait_ready_blocking(self, timeout: float | None = None) -> None:
        """Block until the writer counts this one among its readers; as `wait_ready`."""
        self._link.block(_joined, timeout)

    async def recv(self) -> T:
        """Take the next item, waiting for it. Cancelling loses nothing.

        What comes at once comes without giving way to other tasks.

        Raises:
            ClosedError: The writer closed and all items were taken; or this side did.
            HandshakeError: The writer refused, or nobody listens there.
            PeerLostError: The writer is gone, and all items were taken.
            Exception: What the codec raises in `on_decode_error`.
        """
        found: bytes | ItemParts | None = None
        try:
            # Of nearly all items, this is all the work.
            if self._link.is_joined:
                found = self._socket.recv_nowait()
        except (ClosedError, LocalProtocolError):
            pass  # The link knows why.
        while True:
            if found is None:
                found = await self._link.wait(self._socket.recv_nowait)
            if (item := self._decoder.decode(found)) is not NOTHING:
                return item
            found = None

    def recv_nowait(self) -> T | None:
        """Take the next item; None if there is none. Raises as `recv`."""
        take = self._socket.recv_nowait
        if (found := self._link.poll(take)) is None:
            self._link.turn()
            found = self._link.poll(take)
        while found is not None:
            if (item := self._decoder.decode(found)) is not NOTHING:
                return item
            found = self._link.poll(take)
        return None

    def recv_blocking(self, timeout: float | None = None) -> T:
        """Take the next item, waiting for it at most `timeout` seconds.

        Raises:
            WaitTimeoutError: None came.
            Exception: As of `recv`.
        """
        take = self._socket.recv_nowait
        while (
            item := self._decoder.decode(self._link.block(take, timeout))
        ) is NOTHING:
            pass
        return item

    async def recv_many(self, max_n: int = 1024, max_bytes: int = 1 << 20) -> list[T]:
        """Take what is there, at least one item, waiting for the first; as `recv`.

        Args:
            max_n: Items at most.
            max_bytes: Bytes after which no further item is taken.
        """
        take = partial(self._take_many, max_n, max_bytes)
        while not (items := self._decoder.decode_all(await self._link.wait(take))):
            pass
        return items

    def recv_many_blocking(
        self,
        max_n: int = 1024,
        max_bytes: int = 1 << 20,
        timeout: float | None = None,
    ) -> list[T]:
        """Take what is there, waiting at most `timeout` seconds for the first.

        Raises:
            WaitTimeoutError: None came.
            Exception: As of `recv`.
        """
        take = partial(self._take_many, max_n, max_bytes)
        while not (items := self._decoder.decode_all(self._link.block(take, timeout))):
            pass
        return items

    async def recv_lease(self) -> "Lease":
        """Take the bytes of the next item where they lie, waiting for it; as `recv`.

        While it is held, the writer cannot use its memory again.
        """
        take = self._socket.recv_lease_nowait
        while (lease := self._decoder.lease(await self._link.wait(take))) is None:
            pass
        return lease

    def recv_lease_blocking(self, timeout: float | None = None) -> "Lease":
        """Take the next item where it lies, waiting at most `timeout` seconds.

        Raises:
            WaitTimeoutError: None came.
            Exception: As of `recv`.
        """
        take = self._socket.recv_lease_nowait
        while (lease := self._decoder.lease(self._link.block(take, timeout))) is None:
            pass
        return lease

    def recent_errors(self) -> list[Exception]:
        """Return what went wrong with the connection, and why items did not decode.

        The last 16 of each, oldest first.
        """
        return [*self._socket.recent_errors(), *self._decoder.errors()]

    def statistics(self) -> BroadcastReaderStatistics:
        """Return the counters and the queue."""
        socket = self._socket.statistics()
        return BroadcastReaderStatistics(
            rank=self._link.rank,
            is_joined=self._link.is_joined and not self.closed,
            num_received=self._decoder.num_decoded,
            num_malformed=self._decoder.num_malformed + self._link.num_malformed,
            num_queued=socket.num_recv_queued,
            num_queued_bytes=socket.num_recv_queued_bytes,
            waiting_seconds=self._link.waiting.seconds,
        )

    def close(self) -> None:
        """Leave the queue; items that were not taken are gone. Idempotent."""
        self._link.close()
        self._close_context()

    async def aclose(self) -> None:
        """Leave the queue, and wait until that is done. Idempotent."""
        self._is_closed = True
        self._link.close()
        await self._link.wait_closed()
        if self._is_owner:
            await self._context.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self.recv_blocking()
        except ClosedError:
            raise StopIteration from None

    def _take_many(self, max_n: int, max_bytes: int) -> list[bytes] | None:
        return self._socket.recv_many_nowait(max_n, max_bytes) or None


def _joined() -> bool:
    """Take nothing: it is asked once the reader has joined."""
    return True
