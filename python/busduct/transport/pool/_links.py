"""Tell when the connections through an endpoint have ended."""

from typing import TYPE_CHECKING

from busduct.errors import ClosedError
from busduct.transport.pool._shared_wait import SharedWait

if TYPE_CHECKING:
    from busduct._core import Context, Monitor, Socket

__all__ = ["Links"]


class Links:
    """The connections of a bound socket.

    Args:
        context: Owns the socket.
        socket: Its monitor is ours.
    """

    def __init__(self, context: "Context", socket: "Socket") -> None:
        self._context = context
        self._socket = socket
        # Its events only say that it is time to look again, so that the last is enough.
        self._monitor: Monitor = socket.monitor(1)
        self._news = SharedWait(self._take_news)

    async def wait_ended(self, endpoint: str) -> None:
        """Wait until no connection through an endpoint is up. Cancelling is safe.

        Raises:
            ClosedError: The socket is closed.
        """
        if not self._socket.closed:
            # What a peer said before it died may lie in the kernel, of a connection
            # that has yet to be told from a stranger's.
            self._context.run_once(0)
        await self._news.until(lambda: self._has_ended(endpoint))

    def endpoints(self) -> set[str]:
        """Return those through which connections are up."""
        return {peer.endpoint for peer in self._socket.peers()}

    def _has_ended(self, endpoint: str) -> bool:
        if self._socket.closed:
            raise ClosedError("pool")
        return endpoint not in self.endpoints()

    async def _take_news(self) -> None:
        try:
            await anext(self._monitor)
        except StopAsyncIteration:
            raise ClosedError("pool") from None
