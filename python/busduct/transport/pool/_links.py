"""Where the workers' responses come in, and when the connection of one has ended."""

from typing import TYPE_CHECKING

from busduct.errors import ClosedError
from busduct.transport.pool._shared_wait import SharedWait

if TYPE_CHECKING:
    from busduct._core import Context, Monitor, Socket

__all__ = ["Links"]


class Links:
    """The endpoint of each worker, all of one socket.

    Args:
        context: Owns the socket.
        socket: Its monitor is ours.
    """

    def __init__(self, context: "Context", socket: "Socket") -> None:
        self._context = context
        self._socket = socket
        self._endpoints: dict[int, str] = {}
        # Its events only say that it is time to look again, so that the last is enough.
        self._monitor: Monitor = socket.monitor(1)
        self._news = SharedWait(self._take_news)

    @property
    def num_connected(self) -> int:
        """Workers whose connections are up."""
        return len(self._connected() & set(self._endpoints.values()))

    def bind(self, worker_id: int, endpoint: str) -> None:
        """Listen for a worker.

        Raises:
            OSError: What the system refuses.
        """
        self._endpoints[worker_id] = self._socket.bind(endpoint)

    def unbind(self, worker_id: int) -> None:
        """Listen for a worker no more; its connection stays."""
        self._socket.unbind(self._endpoints[worker_id])

    async def wait_ended(self, worker_id: int) -> None:
        """Wait until no connection of a worker is up. Cancelling is safe.

        Raises:
            ClosedError: The socket is closed.
        """
        if not self._socket.closed:
            # What a peer said before it died may lie in the kernel, of a connection
            # that has yet to be told from a stranger's.
            self._context.run_once(0)
        endpoint = self._endpoints[worker_id]
        await self._news.until(lambda: self._has_ended(endpoint))

    def _connected(self) -> set[str]:
        """Return the endpoints through which connections are up."""
        return {peer.endpoint for peer in self._socket.peers()}

    def _has_ended(self, endpoint: str) -> bool:
        if self._socket.closed:
            raise ClosedError("pool")
        return endpoint not in self._connected()

    async def _take_news(self) -> None:
        try:
            await anext(self._monitor)
        except StopAsyncIteration:
            raise ClosedError("pool") from None
