"""Sockets of the native backend; `busduct._fallback` has the same face."""

from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self, TypeAlias, final

from busduct.errors import BusductError
from busduct.statistics import SocketStatistics

_Data: TypeAlias = bytes | bytearray | memoryview

__all__ = [
    "BACKEND",
    "DEALER",
    "PULL",
    "PUSH",
    "ROUTER",
    "Context",
    "Socket",
    "__version__",
]

__version__: str
BACKEND: str
DEALER: int
ROUTER: int
PULL: int
PUSH: int

@final
class Context:
    """Own sockets and the one file descriptor that tells when they need attention.

    Belongs to one thread and one process. Inside a running asyncio loop it watches
    itself there; elsewhere call `run_once` when `fileno` is readable, or use the
    `*_blocking` calls, which do.

    Every method raises `ForkedError` in a forked child, and `LocalProtocolError` while
    another thread is inside a call of the same context, or while another running loop
    owns it.
    """

    def __new__(cls) -> Self: ...
    def socket(
        self,
        kind: int,
        *,
        hwm_messages: int = 1000,
        hwm_bytes: int = 67108864,
        linger: float | None = 1.0,
        max_message_bytes: int = 1073741824,
        max_parts: int = 1024,
        max_peers: int = 4096,
        handshake_timeout: float = 10.0,
        reconnect_interval: float = 0.1,
        reconnect_max: float = 5.0,
        routing_id: bytes = b"",
    ) -> Socket:
        """Open a socket.

        Args:
            kind: PUSH, PULL, DEALER or ROUTER.
            hwm_messages: Messages queued per peer and direction; at least 1.
            hwm_bytes: Bytes queued per peer and direction, counted as payload and 96
                for each part; a larger message is still taken by an empty queue.
            linger: Seconds that close goes on sending; None for no bound.
            max_message_bytes: Payload bytes of all parts of one message, both ways.
            max_parts: Parts of one message, both ways.
            max_peers: Accepted connections held at once; more are refused.
            handshake_timeout: Seconds a new connection may take to greet.
            reconnect_interval: Seconds before the first new attempt to connect;
                doubles, with jitter, at each failure.
            reconnect_max: Seconds that it doubles up to.
            routing_id: At most 255 bytes announced to ROUTER peers, the first not 0.

        Raises:
            ConfigError: A value out of its range.
            ClosedError: The context is closed.
        """
    def fileno(self) -> int:
        """Return the descriptor that is readable when `run_once` has work."""
    def run_once(self, timeout: float | None = 0.0) -> None:
        """Do what is ready, waiting at most `timeout` seconds for it.

        Args:
            timeout: Seconds; None for no bound.
        """
    def close(self) -> None:
        """Close all sockets and block until their lingers end. Idempotent."""
    def aclose(self) -> Awaitable[None]:
        """Close all sockets and wait until their lingers end. Idempotent.

        Cancelling leaves the context closing: call `close` or `aclose` again.
        """
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...

@final
class Socket:
    """A ZeroMQ pattern over any number of peers.

    It lives until it, or its context, is closed; dropping the object closes nothing.

    A PUSH or DEALER gives each message to the next peer in turn that has room; without
    any peer, messages wait in the socket up to its high-water marks. What was not yet
    handed to the kernel when a peer is lost goes to the next one. A ROUTER names the
    peer in the first part.

    What can be done at once is done without giving way to other tasks: a task that only
    sends to a peer that keeps up should now and then `await asyncio.sleep(0)`.

    An accepted message is sent by the running loop, by `run_once`, or by any blocking
    call of the same context; no thread does it behind your back.

    Each call raises `ClosedError` once the socket or its context is closed.
    """

    @property
    def kind(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def last_endpoint(self) -> str:
        """The endpoint bound last, with the real port; "" before any."""
    def fileno(self) -> int:
        """Return the context's descriptor."""
    def bind(self, endpoint: str, *, insecure: bool = False) -> str:
        """Listen at `ipc://PATH` or `tcp://HOST:PORT`; return what is really bound.

        A socket file left by a dead owner is replaced; a live one never is.

        Args:
            endpoint: Port 0 lets the system choose.
            insecure: Permit a TCP address other than loopback, unauthenticated.

        Raises:
            AddressInUseError: Somebody listens there.
            AuthError: Not loopback, and `insecure` is false.
            ConfigError: Not an endpoint, or an ipc path over 107 bytes.
            OSError: What else the system refuses.
        """
    def connect(self, endpoint: str) -> None:
        """Connect in the background, and again whenever the connection is lost.

        Raises:
            ConfigError: As for `bind`.
        """
    def unbind(self, endpoint: str) -> None:
        """Stop listening; connections already accepted stay.

        Raises:
            LocalProtocolError: Nothing is bound there.
        """
    def disconnect(self, endpoint: str) -> None:
        """End that connection; what it had not sent goes to another peer.

        Over TCP the link stays until the peer ends it too, for at most the linger (1 s
        where it has no bound), so that nothing written is lost.

        Raises:
            LocalProtocolError: Nothing is connected there.
        """
    def send(self, data: _Data) -> Awaitable[None]:
        """Accept one single-part message, waiting for room.

        `bytes` are held, not copied, until sent; other buffers are copied at the call.
        Cancelled while it waits: nothing was accepted.

        Raises:
            FrameTooLargeError: Over `max_message_bytes`.
            LocalProtocolError: A PULL cannot send; a ROUTER needs `send_multipart`.
        """
    def send_multipart(self, parts: Sequence[_Data]) -> Awaitable[None]:
        """Accept one message of one or more parts, waiting for room.

        A ROUTER takes the routing id as first part and sends the rest.

        Raises:
            FrameTooLargeError: Over `max_message_bytes` or `max_parts`.
            LocalProtocolError: No parts.
            PeerLostError: No peer of that routing id is connected.
        """
    def send_many(self, messages: Sequence[_Data]) -> Awaitable[None]:
        """Accept single-part messages in order, waiting for room.

        Cancelled while it waits: a prefix was accepted.
        """
    def send_nowait(self, data: _Data) -> None:
        """Accept one message at once.

        Raises:
            FullError: Every peer is at its high-water mark; nothing was accepted.
        """
    def send_multipart_nowait(self, parts: Sequence[_Data]) -> None:
        """Accept one message of parts at once, or raise as `send_nowait`."""
    def send_many_nowait(self, messages: Sequence[_Data]) -> int:
        """Accept as many as there is room for; return how many."""
    def send_blocking(self, data: _Data, timeout: float | None = None) -> None:
        """Accept one message, waiting at most `timeout` seconds for room.

        Raises:
            WaitTimeoutError: Nothing was accepted.
        """
    def send_multipart_blocking(
        self, parts: Sequence[_Data], timeout: float | None = None
    ) -> None:
        """Accept one message of parts, waiting at most `timeout` seconds for room."""
    def recv(self) -> Awaitable[bytes]:
        """Take the next single-part message, waiting for it.

        Cancelling loses nothing. Peers take turns.

        Raises:
            LocalProtocolError: A PUSH cannot receive; or the next message has several
                parts (it stays: take it by `recv_multipart`).
        """
    def recv_multipart(self) -> Awaitable[list[bytes]]:
        """Take the next message, waiting for it; a ROUTER puts the routing id first."""
    def recv_many(
        self, max_n: int = 1024, max_bytes: int = 1048576
    ) -> Awaitable[list[bytes]]:
        """Take what is there, at least one single-part message, waiting for the first.

        Args:
            max_n: Messages at most.
            max_bytes: Payload bytes after which no further message is taken.
        """
    def recv_nowait(self) -> bytes | None:
        """Take the next single-part message; None if there is none."""
    def recv_multipart_nowait(self) -> list[bytes] | None:
        """Take the next message; None if there is none."""
    def recv_many_nowait(
        self, max_n: int = 1024, max_bytes: int = 1048576
    ) -> list[bytes]:
        """Take what is there; an empty list if nothing is."""
    def recv_blocking(self, timeout: float | None = None) -> bytes:
        """Take the next single-part message, waiting at most `timeout` seconds.

        Raises:
            WaitTimeoutError: None came.
        """
    def recv_multipart_blocking(self, timeout: float | None = None) -> list[bytes]:
        """Take the next message, waiting at most `timeout` seconds."""
    def recv_many_blocking(
        self,
        max_n: int = 1024,
        max_bytes: int = 1048576,
        timeout: float | None = None,
    ) -> list[bytes]:
        """Take what is there, waiting at most `timeout` seconds for the first."""
    def statistics(self) -> SocketStatistics:
        """Return the counters and queue lengths."""
    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong, oldest first, the last 16.

        MalformedFrameError, FrameTooLargeError, RemoteProtocolError (wrong version,
        mechanism or socket type, an ERROR command, a routing id that is in use),
        HandshakeError (said nothing in time), PeerLostError (gone amid a message),
        AuthError (another uid).
        """
    def undelivered(self) -> list[list[bytes]]:
        """Take the accepted messages whose loss is known, as lists of parts.

        They are what a socket held when its linger ended, and what a ROUTER held for a
        peer that was lost. At most `hwm_messages` and `hwm_bytes` are kept; all are
        counted in `SocketStatistics.num_undelivered`. Works on a closed socket.
        """
    def close(self, linger: float | None = ...) -> None:
        """Stop receiving and listening; go on sending in the background. Idempotent.

        Args:
            linger: Seconds instead of the socket's own; None for no bound. Over TCP it
                includes the wait for the peer to end too, then of at most 1 s.
        """
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...
