"""The face of a socket: three ways to send and to receive, and its life."""

import functools
import operator
from collections.abc import Awaitable, Callable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Self, TypeVar, final

from busduct._fallback._audience import Audience
from busduct._fallback._batches import Batches
from busduct._fallback._exchange import Attempt, Exchange
from busduct._fallback._given import Data, Given, to_bytes
from busduct._fallback._lease import Lease
from busduct._fallback._loan import Loan
from busduct._fallback._monitor import EventLog, Monitor
from busduct._fallback._options import check_linger
from busduct._fallback._pattern import Pattern, State
from busduct._fallback._reactor import Reactor
from busduct._fallback._scope import Scope
from busduct._fallback._subscriber import subscriptions_of
from busduct._fallback._waiting import (
    Operation,
    Receiving,
    Taken,
    WaitQueue,
    block,
    retry,
)
from busduct.errors import BusductError, ConfigError
from busduct.statistics import PeerStatistics, SocketStatistics

if TYPE_CHECKING:
    from busduct._fallback._context import Context

__all__ = ["Socket"]

T = TypeVar("T")


@final
class Socket(Scope):
    """A ZeroMQ pattern over any number of peers.

    The twin of the native class; see there for the contract.
    """

    _context: "Context"
    _reactor: Reactor
    _pattern: Pattern
    _exchange: Exchange
    _audience: Audience

    def __init__(self) -> None:
        msg = "open a socket by Context.socket"
        raise TypeError(msg)

    @classmethod
    def _open(cls, context: "Context", reactor: Reactor, pattern: Pattern) -> Self:
        self = cls.__new__(cls)
        # Held so that the context lives as long as one of its sockets is in use.
        self._context = context
        self._reactor = reactor
        self._pattern = pattern
        self._exchange = Exchange(pattern)
        self._audience = Audience(pattern, self._exchange)
        return self

    @property
    def kind(self) -> int:
        """What it was opened as."""
        return self._pattern.options.kind

    @property
    def closed(self) -> bool:
        """Whether the socket or its context was closed."""
        return self._pattern.state is not State.OPEN

    @property
    def last_endpoint(self) -> str:
        """The endpoint bound last, with the real port; "" before any."""
        return self._pattern.endpoints.last

    def fileno(self) -> int:
        """Return the context's descriptor."""
        with self._reactor:
            self._check_open()
            return self._reactor.watched_fileno()

    def bind(self, endpoint: str, *, insecure: bool = False) -> str:
        """Listen at an endpoint; return what is really bound."""
        with self._reactor:
            self._check_open()
            return self._pattern.endpoints.bind(endpoint, insecure=insecure)

    def connect(self, endpoint: str, *, insecure: bool = False) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        with self._reactor:
            self._check_open()
            self._pattern.endpoints.connect(endpoint, insecure=insecure)

    def unbind(self, endpoint: str) -> None:
        """Stop listening; connections already accepted stay."""
        with self._reactor:
            self._check_open()
            self._pattern.endpoints.unbind(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """End that connection; what it had not sent goes to another peer."""
        with self._reactor:
            self._check_open()
            self._pattern.endpoints.disconnect(endpoint)

    def send(self, data: Data) -> Awaitable[None]:
        """Accept one single-part message, waiting for room."""
        return self._send(self._exchange.sending, [data])

    def send_multipart(self, parts: Sequence[Data]) -> Awaitable[None]:
        """Accept one message of one or more parts, waiting for room."""
        return self._send(self._exchange.sending, parts)

    def send_many(self, messages: Sequence[Data]) -> Awaitable[None]:
        """Accept single-part messages in order, waiting for room."""
        return self._send(self._exchange.sending_many, messages)

    def send_urgent(self, parts: Sequence[Data]) -> Awaitable[None]:
        """Accept one message that overtakes what this side has queued for its peer."""
        return self._send(self._exchange.sending_urgent, parts)

    def _send(
        self,
        sending: Callable[[Sequence[Data], Given], Attempt],
        parts: Sequence[Data],
    ) -> Operation[None]:
        with Given() as given:
            operation = self._await(sending(parts, given))
            given.accept()
            return operation

    def send_nowait(self, data: Data) -> None:
        """Accept one message at once."""
        self.send_multipart_nowait([data])

    def send_multipart_nowait(self, parts: Sequence[Data]) -> None:
        """Accept one message of one or more parts at once."""
        self._send_now(parts, urgent=False)

    def send_urgent_nowait(self, parts: Sequence[Data]) -> None:
        """Accept one urgent message at once."""
        self._send_now(parts, urgent=True)

    def _send_now(self, parts: Sequence[Data], *, urgent: bool) -> None:
        with self._reactor, Given() as given:
            message = self._exchange.to_message(parts, given, urgent=urgent)
            attempt = functools.partial(self._exchange.send, message, urgent=urgent)
            if retry(self._reactor, attempt) is not None:
                raise self._exchange.full_error(message, urgent=urgent)
            given.accept()

    def send_many_nowait(self, messages: Sequence[Data]) -> int:
        """Accept as many as there is room for; return how many."""
        with self._reactor, Given() as given:
            rest = self._exchange.to_messages(messages, given)
            num_messages = len(rest)
            try:
                retry(self._reactor, functools.partial(self._exchange.send_all, rest))
            finally:
                given.accept(num_messages - len(rest))
            return num_messages - len(rest)

    def send_blocking(self, data: Data, timeout: float | None = None) -> None:
        """Accept one message, waiting at most `timeout` seconds for room."""
        self.send_multipart_blocking([data], timeout)

    def send_multipart_blocking(
        self, parts: Sequence[Data], timeout: float | None = None
    ) -> None:
        """Accept one message of parts, waiting at most `timeout` seconds for room."""
        with Given() as given:
            self._block(self._exchange.sending(parts, given), timeout)
            given.accept()

    def loan(self, nbytes: int) -> Loan:
        """Lend memory to be filled in place and sent."""
        if operator.index(nbytes) < 0:
            msg = f"nbytes is {nbytes}; it must be at least 0"
            raise ConfigError(msg)
        with self._reactor:
            self._check_open()
        return Loan._open(nbytes)

    def recv_lease(self) -> Awaitable[Lease]:
        """Take the next single-part message as a lease."""
        return self._receive(self._exchange.recv_lease)

    def recv_lease_nowait(self) -> Lease | None:
        """Take the next single-part message as a lease; None if there is none."""
        return self._poll(self._exchange.recv_lease)

    def recv_lease_blocking(self, timeout: float | None = None) -> Lease:
        """Take the next single-part message as a lease, waiting for it."""
        return self._block(self._exchange.recv_lease, timeout)

    def recv_multipart_lease(self) -> Awaitable[list[Lease]]:
        """Take the next message, each part as a lease; a ROUTER's first is the id."""
        return self._receive(self._exchange.recv_multipart_lease)

    def recv_multipart_lease_nowait(self) -> list[Lease] | None:
        """Take the next message as leases; None if there is none."""
        return self._poll(self._exchange.recv_multipart_lease)

    def recv_multipart_lease_blocking(
        self, timeout: float | None = None
    ) -> list[Lease]:
        """Take the next message as leases, waiting at most `timeout` seconds."""
        return self._block(self._exchange.recv_multipart_lease, timeout)

    def batches(self, max_n: int = 1024, max_bytes: int = 1048576) -> Batches:
        """Iterate over what comes until the socket is closed."""
        attempt = self._exchange.receiving_many(max_n, max_bytes)
        return Batches._open(self._context, self._reactor, attempt)

    def recv(self) -> Awaitable[bytes]:
        """Take the next single-part message, waiting for it."""
        return self._receive(self._exchange.recv)

    def recv_multipart(self) -> Awaitable[list[bytes]]:
        """Take the next message, waiting for it; a ROUTER puts the routing id first."""
        return self._receive(self._exchange.recv_multipart)

    def recv_many(
        self, max_n: int = 1024, max_bytes: int = 1048576
    ) -> Awaitable[list[bytes]]:
        """Take what is there, at least one message, waiting for the first."""
        return self._receive(self._exchange.receiving_many(max_n, max_bytes))

    def recv_nowait(self) -> bytes | None:
        """Take the next single-part message; None if there is none."""
        return self._poll(self._exchange.recv)

    def recv_multipart_nowait(self) -> list[bytes] | None:
        """Take the next message; None if there is none."""
        return self._poll(self._exchange.recv_multipart)

    def recv_many_nowait(
        self, max_n: int = 1024, max_bytes: int = 1048576
    ) -> list[bytes]:
        """Take what is there; an empty list if nothing is."""
        return self._poll(self._exchange.receiving_many(max_n, max_bytes)) or []

    def recv_blocking(self, timeout: float | None = None) -> bytes:
        """Take the next single-part message, waiting at most `timeout` seconds."""
        return self._block(self._exchange.recv, timeout)

    def recv_multipart_blocking(self, timeout: float | None = None) -> list[bytes]:
        """Take the next message, waiting at most `timeout` seconds."""
        return self._block(self._exchange.recv_multipart, timeout)

    def recv_many_blocking(
        self,
        max_n: int = 1024,
        max_bytes: int = 1048576,
        timeout: float | None = None,
    ) -> list[bytes]:
        """Take what is there, waiting at most `timeout` seconds for the first."""
        return self._block(self._exchange.receiving_many(max_n, max_bytes), timeout)

    @property
    def readable(self) -> bool:
        """Whether a receive would give a message or an error at once."""
        with self._reactor:
            return self._exchange.is_readable

    @property
    def writable(self) -> bool:
        """Whether a small message would be accepted, or refused, at once."""
        with self._reactor:
            return self._exchange.is_writable

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `readable`; takes nothing."""
        return self._await(self._exchange.await_readable)

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `writable`; takes nothing."""
        return self._await(self._exchange.await_writable)

    def subscribe(self, prefix: Data) -> None:
        """Take messages whose first part starts with `prefix`; b"" for all."""
        topic = to_bytes(prefix)
        with self._reactor:
            self._check_open()
            subscriptions_of(self._pattern.distributor, self.kind).subscribe(topic)

    def unsubscribe(self, prefix: Data) -> None:
        """Take back one `subscribe`."""
        topic = to_bytes(prefix)
        with self._reactor:
            self._check_open()
            subscriptions_of(self._pattern.distributor, self.kind).unsubscribe(topic)

    def num_subscribers(self, topic: Data = b"") -> int:
        """Return how many peers a message that starts with `topic` would go to."""
        with self._reactor:
            return self._audience.count(topic)

    def wait_subscribers(self, count: int = 1, topic: Data = b"") -> Awaitable[None]:
        """Wait until `num_subscribers(topic)` is at least `count`."""
        return self._await(self._audience.waiting(count, topic))

    def wait_subscribers_blocking(
        self, count: int = 1, topic: Data = b"", timeout: float | None = None
    ) -> None:
        """Wait for subscribers for at most `timeout` seconds."""
        self._block(self._audience.waiting(count, topic), timeout)

    def monitor(self, max_events: int = 1024) -> Monitor:
        """Watch the connections of this socket from here on."""
        with self._reactor:
            self._check_open()
            log = EventLog(max_events)
            self._pattern.watch(log)
            return Monitor._open(self._context, self._reactor, log)

    def statistics(self) -> SocketStatistics:
        """Return the counters and queue lengths."""
        with self._reactor:
            return self._pattern.statistics()

    def peers(self) -> list[PeerStatistics]:
        """Return the peers whose handshake is complete, the longest connected first."""
        with self._reactor:
            return self._pattern.peers()

    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong, oldest first, the last 16."""
        with self._reactor:
            return self._pattern.record.faults()

    def undelivered(self) -> list[list[bytes]]:
        """Take the accepted messages whose loss is known, as lists of parts."""
        with self._reactor:
            return self._pattern.record.take_lost()

    def close(self, linger: float | EllipsisType | None = ...) -> None:
        """Stop receiving and listening; go on sending in the background. Idempotent."""
        if linger is ...:
            linger = self._pattern.options.linger
        check_linger(linger)
        with self._reactor:
            self._pattern.close(linger)

    def _check_open(self) -> None:
        self._exchange.check_open()

    def _await(self, attempt: Callable[[], T | WaitQueue]) -> Operation[T]:
        self._check_open()
        return Operation(self._reactor, attempt)

    def _receive(self, attempt: Callable[[], Taken | WaitQueue]) -> Receiving[Taken]:
        self._check_open()
        return Receiving(self._reactor, attempt)

    def _poll(self, attempt: Callable[[], T | WaitQueue]) -> T | None:
        with self._reactor:
            result = retry(self._reactor, attempt)
            return None if isinstance(result, WaitQueue) else result

    def _block(self, attempt: Callable[[], T | WaitQueue], timeout: float | None) -> T:
        return block(self._reactor, attempt, timeout)
