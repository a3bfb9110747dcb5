"""The calls of a client that wait for a reply."""

import asyncio

from busduct.errors import BusductError
from busduct.transport.rpc._wire import MAX_REQUEST_ID

__all__ = ["PendingCalls"]


class PendingCalls:
    """Futures of the bodies of replies, by request id."""

    def __init__(self) -> None:
        self._last_id = 0
        self._futures: dict[int, asyncio.Future[bytes]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def open(self) -> tuple[int, asyncio.Future[bytes]]:
        """Return a fresh request id and its future."""
        # At a million calls a second the ids last for half a million years.
        self._last_id = self._last_id % MAX_REQUEST_ID + 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._futures[self._last_id] = future
        return self._last_id, future

    def close(self, request_id: int) -> None:
        """Forget a call."""
        self._futures.pop(request_id, None)

    def resolve(self, request_id: int, body: bytes) -> bool:
        """Give a call its reply; False if none waits for it."""
        future = self._futures.get(request_id)
        if future is None or future.done():
            return False
        future.set_result(body)
        return True

    def fail_all(self, error: BusductError) -> None:
        """End all calls with an error."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error)
                # Its caller may be cancelled before it looks.
                future.exception()
