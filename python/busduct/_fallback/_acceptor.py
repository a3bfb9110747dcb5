"""Take the connections that come in at one listener."""

import contextlib
import errno
import socket
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from busduct._fallback._guard import make_guard
from busduct._fallback._link import Link
from busduct._fallback._listener import Listener
from busduct._fallback._stream import configure_stream, is_other_user
from busduct.errors import AuthError

if TYPE_CHECKING:
    from busduct._fallback._pattern import Pattern

__all__ = ["Acceptor"]

_BATCH = 64
# How long a listener rests when the process has no descriptor left.
_PAUSE_SECONDS = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Makes links of incoming connections.

    Attributes:
        endpoint: What is really bound.
    """

    def __init__(
        self, pattern: "Pattern", listener: Listener, *, insecure: bool
    ) -> None:
        self._pattern = pattern
        self._reactor = pattern.reactor
        self._listener = listener
        self._insecure = insecure
        self._watched = 0
        self._is_closed = False
        self.endpoint = listener.endpoint
        self._watch(EVENT_READ)
        pattern.report("listening", self.endpoint)

    def on_events(self, mask: int) -> None:
        """Accept what waits, up to a bound so that others have their turn."""
        for _ in range(_BATCH):
            if self._is_closed:
                return
            try:
                sock, _ = self._listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest()
                    return
                # The peer is gone already.
                continue
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        pattern = self._pattern
        error = None
        try:
            if sock.family == socket.AF_UNIX and is_other_user(sock):
                error = AuthError(
                    f"the peer at {self.endpoint} belongs to another user"
                )
            configure_stream(sock, pattern.options)
        except OSError:
            sock.close()
            return
        if error or pattern.is_crowded:
            pattern.counters.num_refused += 1
            sock.close()
            if error:
                pattern.note(error)
            pattern.report("refused", self.endpoint, error=error)
            return
        pattern.counters.num_accepted += 1
        pattern.report("accepted", self.endpoint)
        key = pattern.options.key
        guard = make_guard(key, sock, "server", insecure=self._insecure)
        pattern.add_link(Link(pattern, sock, self.endpoint, guard=guard))

    def _rest(self) -> None:
        self._watch(0)
        self._reactor.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self._is_closed:
            self._watch(EVENT_READ)

    def _watch(self, wanted: int) -> None:
        fd = self._listener.sock.fileno()
        self._reactor.watch(fd, self._watched, wanted, self)
        self._watched = wanted

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._reactor.is_foreign:
            with contextlib.suppress(KeyError, ValueError):
                self._watch(0)
        self._listener.close()
        self._pattern.report("closed", self.endpoint)
