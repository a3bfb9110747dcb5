"""Messages that wait for room in a socket, in order."""

from collections import deque
from typing import TYPE_CHECKING, Self

import msgspec

from busduct.errors import FullError
from busduct.pipeline.messages import encode
from busduct.transport import PUSH, get_zmq_socket

if TYPE_CHECKING:
    from busduct.transport import Context, Socket

__all__ = ["RECONNECT_MAX", "Outbox"]

# The engine's processes come back within a second; the default back-off grows to 5 s.
RECONNECT_MAX = 0.2


class Outbox:
    """Send without waiting and without dropping.

    Its owner bounds it: it makes no more messages while `blocked`.
    """

    def __init__(self, socket: "Socket") -> None:
        self._socket = socket
        self._waiting: deque[bytes] = deque()

    @classmethod
    def connect(cls, context: "Context", endpoint: str) -> Self:
        """Open a PUSH to another process of the engine."""
        return cls(
            get_zmq_socket(
                context, PUSH, endpoint, bind=False, reconnect_max=RECONNECT_MAX
            )
        )

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def blocked(self) -> bool:
        """Whether the socket was full at the last attempt."""
        return bool(self._waiting)

    @property
    def connected(self) -> bool:
        """Whether the socket has a peer."""
        return self._socket.statistics().num_peers > 0

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, or keep it for `flush`."""
        self._waiting.append(encode(message))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._waiting:
            try:
                self._socket.send_nowait(self._waiting[0])
            except FullError:
                return
            self._waiting.popleft()

    def close(self) -> None:
        """Close the socket, which goes on sending what it took."""
        self._waiting.clear()
        self._socket.close()
