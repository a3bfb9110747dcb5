"""The link to one peer: a non-blocking stream, a handshake, two bounded queues."""

import contextlib
import socket
from collections import deque
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

from busduct._fallback._marks import message_cost
from busduct._fallback._outbox import Outbox, Written
from busduct._fallback._session import Session
from busduct._fallback._stream import has_ended, is_hung_up
from busduct._fallback._waiting import WaitQueue
from busduct._fallback._zmtp import encode_error
from busduct.errors import (
    BusductError,
    HandshakeError,
    PeerLostError,
    RemoteProtocolError,
)

if TYPE_CHECKING:
    from busduct._fallback._connector import Connector
    from busduct._fallback._pattern import Pattern

__all__ = ["Link"]

# Bytes queued after which a link is written without waiting for the turn's end.
_FLUSH_COST: Final = 64 << 10


class Link:
    """One peer of a socket.

    Attributes:
        endpoint: What it came through, for errors.
        connector: Who connects again when it is lost; None if the peer connected.
        is_up: The handshake is complete and the socket told.
        is_refused: The handshake is complete and the socket will not have the peer.
        is_severed: Nothing can be written any more; what the peer sent is still read.
        is_draining: Nothing more is sent, and what comes is dropped.
        is_ready: It waits for its turn to be received from.
        routing_id: What a ROUTER calls the peer.
        inbox: Messages parsed and not taken.
        inbox_cost: What they count.
        outbox: Messages not yet handed to the kernel.
        room: Senders of a ROUTER that wait for this peer.
        deadline: The timer of the handshake.
    """

    def __init__(
        self,
        pattern: "Pattern",
        sock: socket.socket,
        endpoint: str,
        connector: "Connector | None" = None,
    ) -> None:
        options = pattern.options
        self._pattern = pattern
        self._reactor = pattern.reactor
        self._marks = options.marks
        self._session = Session(options)
        self._sock: socket.socket | None = sock
        self._watched = 0
        self._is_blocked = False
        self._is_paused = False
        self._is_dirty = False
        self._has_sent = False
        self.endpoint = endpoint
        self.connector = connector
        self.is_up = False
        self.is_refused = False
        self.is_severed = False
        self.is_draining = False
        self.is_ready = False
        self.routing_id = b""
        self.inbox: deque[list[bytes]] = deque()
        self.inbox_cost = 0
        self.outbox = Outbox()
        self.room = WaitQueue()
        self.deadline = self._reactor.call_later(
            options.handshake_timeout, self._time_out
        )

    @property
    def is_open(self) -> bool:
        """Whether the stream is open."""
        return self._sock is not None

    @property
    def is_flushed(self) -> bool:
        """Whether all that was to be written is."""
        return not self.outbox and not self._session.control

    @property
    def peer_routing_id(self) -> bytes:
        """The id in the peer's READY; empty if it has none."""
        return self._session.peer_routing_id

    def start(self) -> None:
        """Greet the peer."""
        self.flush()
        self._watch()

    def admits(self, cost: int) -> bool:
        """Tell whether a message that costs so much fits between the marks."""
        return self._marks.admit(len(self.outbox), self.outbox.cost, cost)

    def is_low(self) -> bool:
        """Tell whether senders that wait should go on."""
        return self._marks.is_low(len(self.outbox), self.outbox.cost)

    def push(self, message: list[bytes], cost: int) -> None:
        """Accept a message that fits."""
        self.outbox.push(message, cost)
        if self.outbox.cost > _FLUSH_COST:
            self.flush()
        else:
            self._mark_dirty()

    def pop(self) -> list[bytes]:
        """Take the next message; go on reading once few are left."""
        message = self.inbox.popleft()
        self.inbox_cost -= message_cost(message)
        if self._is_paused and self._marks.is_low(len(self.inbox), self.inbox_cost):
            self._is_paused = False
            self._parse()
            self._watch()
        return message

    def on_events(self, mask: int) -> None:
        """Do what is ready."""
        if self._sock is not None and mask & EVENT_WRITE:
            self._is_blocked = False
            self.flush()
        if self._sock is not None and mask & EVENT_READ:
            self.read()
        self._watch()

    def read(self) -> None:
        """Read once, and parse what came."""
        if self._sock is None or self._is_paused:
            return
        try:
            nbytes = self._sock.recv_into(self._reactor.scratch)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            nbytes = 0
        if nbytes == 0:
            is_cut = self._session.is_amid_message and not self.is_draining
            self.close(PeerLostError(self.endpoint) if is_cut else None)
        elif not self.is_draining:
            try:
                self._session.feed(self._reactor.scratch[:nbytes])
            except RemoteProtocolError as error:
                self.close(error)
            else:
                self._parse()

    def _parse(self) -> None:
        try:
            while self._marks.admit(len(self.inbox), self.inbox_cost, 0):
                try:
                    message = self._session.take()
                finally:
                    # READY may be followed by what breaks the protocol.
                    if self._session.is_up and not self.is_up:
                        self._come_up()
                if message is None:
                    break
                if self._pattern.deliver(self, message):
                    self.inbox.append(message)
                    self.inbox_cost += message_cost(message)
            else:
                self._is_paused = True
        except RemoteProtocolError as error:
            self.close(error)
            return
        if self._session.control:
            self._mark_dirty()

    def _come_up(self) -> None:
        try:
            self._pattern.admit(self)
        except RemoteProtocolError:
            self.is_refused = True
            raise
        self.is_up = True
        self.deadline.cancel()
        self._pattern.on_up(self)

    def _mark_dirty(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._reactor.flush_later(self)

    def flush(self) -> None:
        """Write until all is written or the kernel takes no more."""
        self._is_dirty = False
        if self._sock is None or self.is_severed or self._is_blocked:
            return
        done = Written()
        if self.outbox and has_ended(self._sock):
            self._lose_writing()
            return
        try:
            while not self._is_blocked and self._write(self._sock, done):
                pass
        except OSError:
            self._lose_writing()
            return
        if done.num_messages:
            self._pattern.on_written(self, done)
        self._watch()

    def _write(self, sock: socket.socket, done: Written) -> bool:
        """Write one batch; return whether there was one."""
        control = self._session.control
        try:
            if control and not self.outbox.is_amid_message:
                taken = sock.send(control)
                del control[:taken]
                self._is_blocked = bool(control)
            elif self.outbox and self.is_up:
                self._has_sent = True
                took_all = self.outbox.write(
                    sock.sendmsg, done, only_first=bool(control)
                )
                self._is_blocked = not took_all
            else:
                return False
        except (BlockingIOError, InterruptedError):
            self._is_blocked = True
        return True

    def sever_if_hung_up(self) -> None:
        """Send no more if the peer is known to be gone; what it sent is still read."""
        if self._sock is not None and is_hung_up(self._sock):
            self._lose_writing()

    def _lose_writing(self) -> None:
        if not self.is_up:
            self.close(None)
            return
        self.is_severed = True
        self._is_blocked = False
        self._session.control.clear()
        self._pattern.on_lost(self)
        self._watch()

    def _watch(self) -> None:
        if self._sock is None:
            return
        wanted = 0 if self._is_paused else EVENT_READ
        if self._is_blocked:
            wanted |= EVENT_WRITE
        self._reactor.watch(self._sock.fileno(), self._watched, wanted, self)
        self._watched = wanted

    def _time_out(self) -> None:
        timeout = self._pattern.options.handshake_timeout
        self.close(HandshakeError(self.endpoint, f"not complete after {timeout} s"))

    def drain(self) -> bool:
        """Send no more, drop what comes until the peer ends; False where pointless.

        Closing a TCP socket with unread bytes resets it, and a reset takes with it what
        the kernel has not delivered yet.
        """
        if self._sock is None or self._sock.family == socket.AF_UNIX:
            return False
        if not self._has_sent:
            return False
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        self.is_draining = True
        self.discard_inbox()
        return True

    def discard_inbox(self) -> None:
        """Drop what was parsed, and read on."""
        self.inbox.clear()
        self.inbox_cost = 0
        if self._is_paused:
            self._is_paused = False
            self._parse()
        self._watch()

    def _refuse(self, sock: socket.socket, reason: str) -> None:
        """Tell the peer why its link ends, as far as the kernel takes it at once."""
        if not self.outbox.is_amid_message:
            with contextlib.suppress(OSError):
                sock.send(self._session.control + encode_error(reason))

    def close(self, error: BusductError | None) -> None:
        """Close the stream; what was parsed can still be taken. Idempotent.

        Args:
            error: What the peer did wrong, if it did.
        """
        if self._sock is None:
            return
        sock, self._sock = self._sock, None
        self.deadline.cancel()
        # Bytes that do not parse get no answer, and a refusal is not refused.
        if type(error) is RemoteProtocolError and not self._session.is_refused:
            self._refuse(sock, str(error))
        if not self._reactor.is_foreign and not self._reactor.is_closed:
            self._reactor.watch(sock.fileno(), self._watched, 0, self)
        self._watched = 0
        sock.close()
        self._pattern.on_down(self, error)
