"""An endpoint that is connected to, again and again."""

import contextlib
import os
import socket
from selectors import EVENT_WRITE
from typing import TYPE_CHECKING

from busduct._fallback._backoff import Backoff
from busduct._fallback._endpoint import Endpoint
from busduct._fallback._guard import make_guard
from busduct._fallback._link import Link
from busduct._fallback._stream import configure_stream, is_other_user
from busduct._fallback._timer import Timer
from busduct.errors import AuthError

if TYPE_CHECKING:
    from busduct._fallback._pattern import Pattern

__all__ = ["Connector"]


class Connector:
    """Keeps one link to an endpoint for as long as it is not stopped.

    Attributes:
        endpoint: Where to.
        link: The link, while there is one.
    """

    def __init__(
        self, pattern: "Pattern", endpoint: Endpoint, *, insecure: bool
    ) -> None:
        self._pattern = pattern
        self._reactor = pattern.reactor
        self._sock: socket.socket | None = None
        self._timer: Timer | None = None
        self._backoff = Backoff(pattern.options)
        self._insecure = insecure
        self._is_stopped = False
        self.endpoint = endpoint
        self.link: Link | None = None

    def start(self) -> None:
        """Try to connect."""
        self._timer = None
        try:
            if self.endpoint.is_tcp:
                self._start_tcp()
            else:
                self._start_ipc()
        except OSError:
            self._give_up()

    def _start_ipc(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        configure_stream(self._sock, self._pattern.options)
        self._sock.connect(self.endpoint.path)
        if is_other_user(self._sock):
            error = AuthError(f"the peer at {self.endpoint} belongs to another user")
            self._pattern.counters.num_refused += 1
            self._pattern.note(error)
            self._pattern.report("refused", str(self.endpoint), error=error)
            self._give_up()
        else:
            self._adopt()

    def _start_tcp(self) -> None:
        # A name with several addresses gives them in turn.
        addresses = self.endpoint.resolve()
        family, address = addresses[self._backoff.num_failed % len(addresses)]
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        configure_stream(self._sock, self._pattern.options)
        with contextlib.suppress(BlockingIOError):
            self._sock.connect(address)
        self._reactor.watch(self._sock.fileno(), 0, EVENT_WRITE, self)
        timeout = self._pattern.options.handshake_timeout
        self._timer = self._reactor.call_later(timeout, self._give_up)

    def on_events(self, mask: int) -> None:
        """Learn how the attempt ended."""
        if self._sock is None:
            return
        self._reactor.watch(self._sock.fileno(), EVENT_WRITE, 0, self)
        self._cancel_timer()
        try:
            refused = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refused:
                raise OSError(refused, os.strerror(refused))
            # On loopback a port that nobody listens at can be drawn for our own end,
            # and the connection is then with itself.
            if self._sock.getsockname() == self._sock.getpeername():
                raise ConnectionRefusedError
        except OSError:
            self._give_up()
        else:
            self._adopt()

    def _adopt(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            key = self._pattern.options.key
            guard = make_guard(key, sock, "client", insecure=self._insecure)
            link = Link(self._pattern, sock, str(self.endpoint), self, guard)
            self.link = link
            self._pattern.add_link(link)

    def _give_up(self) -> None:
        """Drop an attempt and put off the next."""
        self._close_attempt()
        self.put_off()

    def put_off(self) -> None:
        """Try again later, unless stopped."""
        self.link = None
        if self._is_stopped:
            return
        self._pattern.counters.num_retries += 1
        self._pattern.report("retried", str(self.endpoint))
        self._timer = self._reactor.call_later(self._backoff.next_wait(), self.start)

    def succeeded(self) -> None:
        """Start the back-off anew."""
        self._backoff.reset()

    def stop(self) -> None:
        """Connect no more. The link stays. Idempotent."""
        self._is_stopped = True
        self._cancel_timer()
        self._close_attempt()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_attempt(self) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if not self._reactor.is_foreign:
            self._reactor.forget(sock.fileno())
        sock.close()
