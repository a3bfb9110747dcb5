"""What comes to a socket, in lists."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Self, final

from busduct._fallback._reactor import Reactor
from busduct._fallback._waiting import Receiving, WaitQueue
from busduct.errors import ClosedError

if TYPE_CHECKING:
    from busduct._fallback._context import Context

__all__ = ["Batches"]


@final
class Batches:
    """What comes to a socket, in lists; ends when the socket is closed.

    The twin of the native class; see there for the contract.
    """

    _context: "Context"
    _reactor: Reactor
    _attempt: Callable[[], list[bytes] | WaitQueue]

    def __init__(self) -> None:
        msg = "iterate over messages by Socket.batches"
        raise TypeError(msg)

    @classmethod
    def _open(
        cls,
        context: "Context",
        reactor: Reactor,
        attempt: Callable[[], list[bytes] | WaitQueue],
    ) -> Self:
        self = cls.__new__(cls)
        # Held so that the context lives as long as what iterates over its messages.
        self._context = context
        self._reactor = reactor
        self._attempt = attempt
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[bytes]:
        # NB: a coroutine, as `anext` with a default asks another awaitable anew each
        # time that it is woken (CPython 3.11).
        return await Receiving(self._reactor, self._take)

    def _take(self) -> list[bytes] | WaitQueue:
        try:
            return self._attempt()
        except ClosedError:
            raise StopAsyncIteration from None
