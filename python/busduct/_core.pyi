"""Sockets of the native backend; `busduct._fallback` has the same face."""

from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, final

from busduct.errors import BusductError
from busduct.monitor import MonitorEvent
from busduct.statistics import (
    ContextStatistics,
    PeerStatistics,
    SocketStatistics,
)

_Data: TypeAlias = bytes | bytearray | memoryview | Loan | Lease

__all__ = [
    "BACKEND",
    "DEALER",
    "PAIR",
    "PUB",
    "PULL",
    "PUSH",
    "REP",
    "REQ",
    "ROUTER",
    "SUB",
    "XPUB",
    "XSUB",
    "Batches",
    "Context",
    "Lease",
    "Loan",
    "Monitor",
    "Socket",
    "__version__",
]

__version__: str
BACKEND: str
PAIR: int
PUB: int
SUB: int
REQ: int
REP: int
DEALER: int
ROUTER: int
PULL: int
PUSH: int
XPUB: int
XSUB: int

@final
class Context:
    """Own sockets and the one file descriptor that tells when they need attention.

    Belongs to one thread and one process. Inside a running asyncio loop it watches
    itself there; elsewhere call `run_once` when `fileno` is readable, or use the
    `*_blocking` calls, which do.

    Every method raises `ForkedError` in a forked child, and `LocalProtocolError` while
    another thread is inside a call of the same context, or while another running loop
    owns it.

    With a key, every TCP connection proves on both sides that it knows the key before
    anything else is said, and each record on it carries a MAC (docs/wire.md, "Keys").

    With `io_thread`, a thread of the context's own reads, writes, reconnects and
    answers heartbeats, so that an owner may stay away for long; the methods are the
    same, and still for one thread at a time.

    Two native contexts on one host move an `ipc://` connection into shared memory
    before its first message (docs/design.md): same calls, same order, no kernel copy.
    Nothing of it has a name, so nothing stays behind when a process is killed.
    """

    def __new__(
        cls,
        *,
        key: bytes | None = None,
        io_thread: bool = False,
        shm: str = "auto",
        shm_max_bytes: int = 268435456,
        shm_ring_bytes: int = 524288,
        spin_us: int = 0,
    ) -> Self:
        """Make a context without sockets.

        Args:
            key: 32 bytes that every TCP peer must know too; None for none.
            io_thread: Move bytes in a thread of the context's own.
            shm: Of ipc connections. ``"auto"``: through shared memory where the peer
                can and there is memory, else through the kernel. ``"off"``: through
                the kernel. ``"require"``: a peer that cannot is refused. Of the default
                the environment variable BUSDUCT_SHM takes the place.
            shm_max_bytes: Shared memory that this side makes, for all its peers: rings
                and the arena of large payloads. Beyond it they go through the ring, or
                a new connection through the kernel. One message over 16 MiB at a time
                may exceed it.
            shm_ring_bytes: Of each connection, for what this side sends; a power of two
                from 4096 to 16 MiB.
            spin_us: Microseconds that a receive looks at the rings before it sleeps, at
                most 1000000; the more often that was in vain, the shorter it looks.

        Raises:
            ConfigError: A key of another length, a value out of its range, or
                ``"require"`` where the backend is pure Python.
        """
    def statistics(self) -> ContextStatistics:
        """Return what the context holds in shared memory."""
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
        on_full: str | None = None,
        immediate: bool = False,
        heartbeat_interval: float | None = None,
        heartbeat_timeout: float | None = None,
        heartbeat_ttl: float | None = None,
        backlog: int = 4096,
        tcp_keepalive_idle: float | None = None,
        tcp_keepalive_interval: float = 10.0,
        tcp_keepalive_count: int = 3,
        send_buffer_bytes: int = 0,
        recv_buffer_bytes: int = 0,
        probe_router: bool = False,
        router_mandatory: bool = True,
        router_handover: bool = False,
        req_correlate: bool = False,
        req_relaxed: bool = False,
        xpub_verbose: bool = False,
        max_subscriptions: int = 65536,
        isolate: bool = False,
    ) -> Socket:
        """Open a socket.

        Args:
            kind: PAIR, PUB, SUB, REQ, REP, DEALER, ROUTER, PULL, PUSH, XPUB or XSUB.
            hwm_messages: Messages queued per peer and direction; at least 1.
            hwm_bytes: Bytes queued per peer and direction, counted as payload and 96
                for each part; a larger message is still taken by an empty queue.
            linger: Seconds that close goes on sending; None for no bound.
            max_message_bytes: Payload bytes of all parts of one message, both ways.
            max_parts: Parts of one message, both ways; envelopes of REQ and REP count.
            max_peers: Accepted connections held at once; more are refused.
            handshake_timeout: Seconds a new connection may take to greet.
            reconnect_interval: Seconds before the first new attempt to connect;
                doubles, with jitter, at each failure.
            reconnect_max: Seconds that it doubles up to.
            routing_id: At most 255 bytes announced to ROUTER peers, the first not 0.
            on_full: What happens to a message beyond a mark. ``"wait"``: the sender
                waits. ``"error"``: the sender gets `FullError`. ``"drop_new"``: it is
                dropped. ``"drop_old"``: the oldest of that queue are, until it fits.
                ``"conflate"``: a queue holds one message, the newest. Drops are counted
                in `SocketStatistics.num_dropped`. For PULL, SUB and XSUB it tells of
                the queue of received messages, and ``"wait"`` is back-pressure; for the
                others of the queues of messages to be sent. None is ``"drop_new"`` for
                PUB and XPUB and ``"wait"`` for the others. ROUTER has no
                ``"conflate"``; REQ and REP have only the first two; PULL, SUB and XSUB
                have no ``"error"``.
            immediate: Without a peer a send waits for one, rather than queueing.
            heartbeat_interval: Seconds between PINGs to each peer; None for none.
            heartbeat_timeout: Seconds of silence after a PING that end the connection;
                None for the interval.
            heartbeat_ttl: Seconds of our silence after which the peer is told to end
                the connection, in steps of 0.1, at most 6553.5; None for none.
            backlog: Connections that the kernel holds before they are accepted.
            tcp_keepalive_idle: Seconds of silence before the kernel probes a TCP peer,
                at least 1; None to probe never.
            tcp_keepalive_interval: Seconds between probes, at least 1.
            tcp_keepalive_count: Probes unanswered before the connection is lost.
            send_buffer_bytes: Of the kernel, for each connection; 0 to let it choose.
            recv_buffer_bytes: As above.
            probe_router: Send an empty message to each new peer (DEALER, REQ, ROUTER).
            router_mandatory: A ROUTER raises `PeerLostError` for an id that no peer
                has; otherwise the message is dropped, and counted.
            router_handover: A second peer with the routing id of a first one takes its
                place; otherwise it is refused while the first lives.
            req_correlate: A REQ marks each request with a number, and drops replies
                that do not carry it.
            req_relaxed: A REQ may send before the reply to its last request came; that
                one is dropped if it still comes.
            xpub_verbose: An XPUB gives each subscription, not only a topic's first.
            max_subscriptions: Of one peer, at a PUB or XPUB; more end its connection.
            isolate: Give each peer shared memory of its own, which no other peer can
                read; loans are copied then.

        Raises:
            ConfigError: A value out of its range, or an option of another kind.
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

    PUSH, DEALER and REQ give each message to the next peer in turn that has room;
    without any peer, messages wait in the socket up to its high-water marks. What was
    not yet handed to the kernel when a peer is lost goes to the next one. A ROUTER
    names the peer in the first part. A PAIR has one peer, and refuses others while it
    lives.

    PUB and XPUB give a message to every peer that subscribed to a prefix of its first
    part, of which 255 bytes count. A SUB takes only what it subscribed to; an XPUB
    receives subscriptions as messages of one part, 1 or 0 and the topic, and an XSUB
    sends them so.

    A REQ sends and receives in turn; when the peer that was sent the request is lost,
    `recv` raises `PeerLostError` and the next request may be sent. A REP receives and
    sends in turn; a reply whose peer is lost raises `PeerLostError`.

    What can be done at once is done without giving way to other tasks, but a task that
    only receives gives way after 2048 calls or 4 MiB, counted as payload and 96 for
    each part. One that only sends to a peer that keeps up should now and then
    `await asyncio.sleep(0)`.

    An accepted message is sent by the running loop, by `run_once`, or by any blocking
    call of the same context; no thread does it behind your back, but the context's own
    where it was made with `io_thread`.

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
        """Listen; return what is really bound.

        A socket file left by a dead owner is replaced; a live one never is.

        Args:
            endpoint: `ipc://PATH`, `tcp://HOST:PORT` where port 0 lets the system
                choose, or `inproc://NAME`, at most 255 bytes, for sockets of the same
                context, between which messages are moved and not copied.
            insecure: Of TCP: do not use the context's key; and permit an address other
                than loopback without one.

        Raises:
            AddressInUseError: Somebody listens there.
            AuthError: Not loopback, no key, and `insecure` is false.
            ConfigError: Not an endpoint, or an ipc path over 107 bytes.
            OSError: What else the system refuses.
        """
    def connect(self, endpoint: str, *, insecure: bool = False) -> None:
        """Connect in the background, and again whenever the connection is lost.

        Args:
            endpoint: As for `bind`; an inproc name may be bound later.
            insecure: Of TCP: do not use the context's key.

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
        A `Loan` is taken over as it is, and is released for its owner; a `Lease` stays
        its owner's. Cancelled while it waits: nothing was accepted, and a loan is gone.

        Raises:
            BufferError: A loan of which views are still held.
            ClosedError: A loan or a lease that was given up.
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: No room, and `on_full` is ``"error"``.
            LocalProtocolError: PULL and SUB cannot send; a ROUTER needs
                `send_multipart`; a REQ that waits for a reply, or a REP without a
                request to reply to.
            PeerLostError: Of a REP: who asked is gone.
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
    def send_urgent(self, parts: Sequence[_Data]) -> Awaitable[None]:
        """Accept one message that overtakes what this side has queued for its peer.

        Urgent messages keep their order among themselves and have the marks to
        themselves: a full queue of others does not hold them up. For PAIR, PUSH, DEALER
        and ROUTER (routing id first). `on_full` is always ``"wait"`` for them.

        Raises:
            LocalProtocolError: Another kind of socket.
        """
    def send_nowait(self, data: _Data) -> None:
        """Accept one message at once.

        A loan that was not accepted stays its owner's, here and in every other call
        that is not awaited.

        Raises:
            FullError: Every peer is at its high-water mark; nothing was accepted.
        """
    def send_multipart_nowait(self, parts: Sequence[_Data]) -> None:
        """Accept one message of parts at once, or raise as `send_nowait`."""
    def send_many_nowait(self, messages: Sequence[_Data]) -> int:
        """Accept as many as there is room for; return how many."""
    def send_urgent_nowait(self, parts: Sequence[_Data]) -> None:
        """Accept one urgent message at once, or raise as `send_nowait`."""
    def send_blocking(self, data: _Data, timeout: float | None = None) -> None:
        """Accept one message, waiting at most `timeout` seconds for room.

        Raises:
            WaitTimeoutError: Nothing was accepted.
        """
    def send_multipart_blocking(
        self, parts: Sequence[_Data], timeout: float | None = None
    ) -> None:
        """Accept one message of parts, waiting at most `timeout` seconds for room."""
    def loan(self, nbytes: int) -> Loan:
        """Lend memory to be filled in place and sent without a copy.

        It is in shared memory where the context has peers there and there is room, else
        private. What it holds at first is undefined.

        Raises:
            ConfigError: Negative.
            MemoryError: There is none.
        """
    def recv_lease(self) -> Awaitable[Lease]:
        """Take the next single-part message without copying it, as `recv` does.

        The lease stays valid until it is released, whatever becomes of the socket, the
        context and the peer. While it is held, the sender cannot reuse its memory.
        """
    def recv_lease_nowait(self) -> Lease | None:
        """Take the next single-part message as a lease; None if there is none."""
    def recv_lease_blocking(self, timeout: float | None = None) -> Lease:
        """Take the next single-part message as a lease, waiting for it.

        Raises:
            WaitTimeoutError: None came.
        """
    def recv_multipart_lease(self) -> Awaitable[list[Lease]]:
        """Take the next message, each part as a lease; a ROUTER's first is the id."""
    def recv_multipart_lease_nowait(self) -> list[Lease] | None:
        """Take the next message as leases; None if there is none."""
    def recv_multipart_lease_blocking(
        self, timeout: float | None = None
    ) -> list[Lease]:
        """Take the next message as leases, waiting at most `timeout` seconds."""
    def batches(self, max_n: int = 1024, max_bytes: int = 1048576) -> Batches:
        """Iterate over what comes, as `recv_many` gives it, until the socket is closed.

        Args:
            max_n: Messages in a batch at most.
            max_bytes: Payload bytes after which no further message joins a batch.
        """
    def recv(self) -> Awaitable[bytes]:
        """Take the next single-part message, waiting for it.

        Cancelling loses nothing. Peers take turns.

        Raises:
            LocalProtocolError: PUSH and PUB cannot receive; a REQ without a request, or
                a REP that owes a reply; or the next message has several parts (it
                stays: take it by `recv_multipart`).
            PeerLostError: Of a REQ: the peer that was asked is gone.
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
    @property
    def readable(self) -> bool:
        """Whether a receive would end at once, with a message or refused.

        True of what is refused for good or out of turn: a PUSH or PUB, a REQ without a
        request, a REP that owes a reply, a closed socket.
        """
    @property
    def writable(self) -> bool:
        """Whether the send of a small message would end at once, taken or refused.

        True of what is refused for good or out of turn: a PULL or SUB, a REQ that waits
        for a reply, a REP without a request, a closed socket. Of a ROUTER it is always
        true, whichever of its peers is full.
        """
    def wait_readable(self) -> Awaitable[None]:
        """Wait until `readable`; takes nothing. A closed one raises `ClosedError`."""
    def wait_writable(self) -> Awaitable[None]:
        """Wait until `writable`; takes nothing. A closed one raises `ClosedError`."""
    def subscribe(self, prefix: _Data) -> None:
        """Take messages whose first part starts with `prefix`; b"" for all.

        Subscribing twice asks for unsubscribing twice. Of SUB and XSUB.

        Raises:
            ConfigError: Over 255 bytes.
            LocalProtocolError: Another kind of socket.
        """
    def unsubscribe(self, prefix: _Data) -> None:
        """Take back one `subscribe`.

        Raises:
            LocalProtocolError: Not subscribed to, or another kind of socket.
        """
    def num_subscribers(self, topic: _Data = b"") -> int:
        """Return how many peers a message that starts with `topic` would go to.

        Raises:
            LocalProtocolError: Neither PUB nor XPUB.
        """
    def wait_subscribers(self, count: int = 1, topic: _Data = b"") -> Awaitable[None]:
        """Wait until `num_subscribers(topic)` is at least `count`.

        What is published from then on reaches them all.

        Raises:
            ConfigError: Fewer than 1.
            LocalProtocolError: Neither PUB nor XPUB.
        """
    def wait_subscribers_blocking(
        self, count: int = 1, topic: _Data = b"", timeout: float | None = None
    ) -> None:
        """Wait for subscribers for at most `timeout` seconds.

        Raises:
            WaitTimeoutError: They did not come.
        """
    def monitor(self, max_events: int = 1024) -> Monitor:
        """Watch the connections of this socket from here on.

        One monitor at a time: another takes the place of the first, which ends.

        Args:
            max_events: Held until they are taken; beyond it the oldest are dropped,
                and counted.
        """
    def statistics(self) -> SocketStatistics:
        """Return the counters and queue lengths."""
    def peers(self) -> list[PeerStatistics]:
        """Return the peers whose handshake is complete, the longest connected first."""
    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong, oldest first, the last 16.

        MalformedFrameError, FrameTooLargeError, RemoteProtocolError (wrong version,
        mechanism or socket type, an ERROR command, a routing id that is in use),
        HandshakeError (said nothing in time), PeerLostError (gone amid a message, or
        silent beyond the heartbeat timeout),
        AuthError (another uid, a wrong key, a record that was tampered with).
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

@final
class Monitor:
    """What happens to a socket's connections, one event after the other.

    An asynchronous iterator that ends when the socket is closed or another monitor
    takes its place. Taking an event is safe to cancel.
    """

    @property
    def num_dropped(self) -> int:
        """Events dropped because nobody took them in time."""
    def recv_nowait(self) -> MonitorEvent | None:
        """Take the next event; None if there is none.

        Raises:
            ClosedError: The monitor has ended, and all events were taken.
        """
    def recv_blocking(self, timeout: float | None = None) -> MonitorEvent:
        """Take the next event, waiting at most `timeout` seconds.

        Raises:
            ClosedError: The monitor has ended, and all events were taken.
            WaitTimeoutError: None came.
        """
    def close(self) -> None:
        """End it. Idempotent."""
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Awaitable[MonitorEvent]: ...

@final
class Batches:
    """What comes to a socket, in lists; ends when the socket is closed.

    An asynchronous iterator. Cancelling a wait loses nothing.
    """

    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Awaitable[list[bytes]]: ...

@final
class Loan:
    """Memory that is filled in place and then sent.

    Its buffer is writable, of one dimension and bytes, and aligned to 64 bytes in the
    native backend. Once it is sent or released, every call but `release` and `released`
    raises `ClosedError`.

    A `with` block releases it at its end, unless it was sent. Where an exception ends
    the block, whose traceback may hold views, it is left to them.
    """

    @property
    def nbytes(self) -> int: ...
    @property
    def is_shared(self) -> bool:
        """Whether it is in shared memory, so that sending it copies nothing."""
    @property
    def released(self) -> bool: ...
    def release(self) -> None:
        """Give it back unsent. Idempotent.

        Raises:
            BufferError: Views of it are still held.
        """
    def fill(self, parts: Sequence[bytes | str]) -> None:
        """Fill it with parts, one after the other, each copied once; texts in UTF-8.

        Raises:
            BufferError: Views of it are held.
            TypeError: A part that is neither.
            UnicodeEncodeError: A text with surrogates.
            ValueError: Another size than the memory's; it stays as it is.
        """
    def freeze(self) -> Lease:
        """Give it up, as sending does; return a lease of what was filled.

        The lease is read-only and can be sent any number of times, each by reference
        where the loan would have been. Copies nothing in the native backend.

        Raises:
            BufferError: Views of it are still held; it stays as it is.
        """
    def as_numpy(
        self, dtype: str | Any = "uint8", shape: Sequence[int] | None = None
    ) -> Any:
        """Return a writable array over it, which is a view.

        Args:
            dtype: What numpy takes; "bfloat16" and the float8 kinds where ml_dtypes is
                installed. None for bytes.
            shape: None for one dimension.

        Raises:
            ImportError: numpy is not installed, or ml_dtypes for a type of its own.
            ValueError: Another size than the memory's.
        """
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...

@final
class Lease:
    """A received part where it lies, or a loan that was frozen; read-only.

    Its buffer is of one dimension and bytes, and keeps it alive: what `memoryview`,
    `as_numpy` and `__dlpack__` give stays valid until the last of them is gone. The
    memory goes back to its sender when the lease is released, or dropped, and no view
    is left. A `with` block releases it as that of a `Loan` does.

    In the pure-Python backend it is a `bytes`, copied once, whose `release` cannot tell
    whether views are held: they stay valid.
    """

    @property
    def nbytes(self) -> int: ...
    @property
    def is_shared(self) -> bool:
        """Whether it is in shared memory, of the sender's or of a frozen loan."""
    @property
    def released(self) -> bool: ...
    def release(self) -> None:
        """Give it back. Idempotent; `ClosedError` from every other call after it.

        Raises:
            BufferError: Views of it are still held.
        """
    def tobytes(self) -> bytes:
        """Copy it; of what is `bytes` already, give that."""
    def split_texts(self, min_nbytes: int) -> tuple[bytes, list[str]] | None:
        """Copy the long strings out of a msgpack value, each once and from here.

        In the pure-Python backend there is nothing to gain, and None is returned.

        Args:
            min_nbytes: What is a long one; 4096 is the least.

        Returns:
            The value with an extension of type 0 in place of each, whose 4 bytes are
            its number in the list, big-endian; and the list. None where there is no
            long string, one is not ASCII, the value has extensions or is no msgpack;
            whether it is valid otherwise is for who decodes it to find.
        """
    def as_numpy(
        self, dtype: str | Any = "uint8", shape: Sequence[int] | None = None
    ) -> Any:
        """Return a read-only array over it, which is a view; as `Loan.as_numpy`."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...
